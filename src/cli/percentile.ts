/** A value below which so many of all samples are. */

/** 99.9 % of 1,000 are a little more than 999 in binary, and would otherwise be the 1,000th. */
const rounding = 1e-9

/** By nearest rank. @param sorted ascending */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length - rounding))
  return sorted[rank - 1] ?? Number.NaN
}
