/**
 * Durations, counted in logarithmic buckets: recording one is an addition, and a quantile read from the buckets is wrong
 * by at most 5 %.
 */

/** In milliseconds; null if nothing was recorded. */
export interface Quantiles {
  readonly count: number
  readonly p50: number | null
  readonly p99: number | null
}

/** The number of durations in each bucket, by the number of the bucket. */
export type Buckets = Map<number, number>

const lowestMs = 0.01
const bucketsPerOctave = 8
/** Holds every duration above 53 days. */
const lastBucket = 311

export function record(buckets: Buckets, ms: number): void {
  const bucket = ms <= lowestMs ? 0 : Math.ceil(Math.log2(ms / lowestMs) * bucketsPerOctave)
  add(buckets, Math.min(bucket, lastBucket), 1)
}

export function add(buckets: Buckets, bucket: number, count: number): void {
  buckets.set(bucket, (buckets.get(bucket) ?? 0) + count)
}

export function quantilesOf(buckets: ReadonlyMap<number, number>): Quantiles {
  const sorted = [...buckets].toSorted(([one], [other]) => one - other)
  const count = sorted.reduce((sum, [, inBucket]) => sum + inBucket, 0)

  function quantile(fraction: number): number | null {
    let passed = 0
    const found = sorted.find(([, inBucket]) => (passed += inBucket) >= count * fraction)
    if (found === undefined) return null
    const [bucket] = found
    const ms = bucket === 0 ? 0 : lowestMs * 2 ** ((bucket - 0.5) / bucketsPerOctave)
    return Number(ms.toPrecision(3))
  }

  return { count, p50: quantile(0.5), p99: quantile(0.99) }
}

export interface SlidingHistogram {
  record(ms: number): void
  read(): Quantiles
}

/** Covers the current interval and those before it, `intervalCount` in all. @param now a steady clock, in milliseconds */
export function createSlidingHistogram(
  intervalMs: number,
  intervalCount: number,
  now: () => number = () => performance.now(),
): SlidingHistogram {
  const ring: { readonly interval: number; readonly buckets: Buckets }[] = []
  const currentInterval = (): number => Math.floor(now() / intervalMs)

  return {
    record(ms) {
      const interval = currentInterval()
      let entry = ring[interval % intervalCount]
      if (entry?.interval !== interval) {
        entry = { interval, buckets: new Map() }
        ring[interval % intervalCount] = entry
      }
      record(entry.buckets, ms)
    },
    read() {
      const newestExpired = currentInterval() - intervalCount
      const sum: Buckets = new Map()
      // The ring has holes where nothing was recorded. Object.values skips them.
      for (const { interval, buckets } of Object.values(ring)) {
        if (interval > newestExpired) for (const [bucket, count] of buckets) add(sum, bucket, count)
      }
      return quantilesOf(sum)
    },
  }
}
