/** Arithmetic on samples. */
import { percentile } from '../../src/cli/open-loop.ts'

/** For an even number of values the lower of the middle two, so that the result is a measured value. */
export function median(values: readonly number[]): number {
  return percentile(
    values.toSorted((a, b) => a - b),
    50,
  )
}

/** Ratios round by round, because a disturbance is likely to affect both sides. Rounds without a partner do not count. */
export function pairedRatios(ones: readonly number[], others: readonly number[]): number[] {
  return ones.slice(0, others.length).map((one, round) => one / (others[round] ?? Number.NaN))
}

export function format(value: number, digits = 0): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** "median (min–max)"; "n/a" without values. */
export function spread(values: readonly number[], digits = 0): string {
  if (values.length === 0) return 'n/a'
  const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)]
  if (values.length === 1) return format(middle, digits)
  return `${format(middle, digits)} (${format(least, digits)}–${format(most, digits)})`
}
