/**
 * Lengths of time of the last minutes in logarithmic buckets: to record one is an addition, and what is read is wrong by
 * 5 % at most.
 */

/** Milliseconds; null where nothing was recorded. */
export interface Quantiles {
  readonly count: number
  readonly p50: number | null
  readonly p99: number | null
}

export interface SlidingHistogram {
  record(ms: number): void
  /** Of the last `slotCount` slots, the one under way among them. */
  read(slotCount?: number): Quantiles
}

const lowestMs = 0.01
const bucketsPerOctave = 8
/** Up to eight days. */
const bucketCount = 312

interface Slot {
  number: number
  readonly buckets: Uint32Array
}

/** @param now a steady clock, in milliseconds */
export function createSlidingHistogram(
  slotMs: number,
  slotCount: number,
  now: () => number = () => performance.now(),
): SlidingHistogram {
  const slots: Slot[] = []
  const slotNumber = (): number => Math.floor(now() / slotMs)

  function currentSlot(): Slot {
    const number = slotNumber()
    const slot = (slots[number % slotCount] ??= { number, buckets: new Uint32Array(bucketCount) })
    if (slot.number !== number) {
      slot.buckets.fill(0)
      slot.number = number
    }
    return slot
  }

  return {
    record(ms) {
      const { buckets } = currentSlot()
      const place = bucketOf(ms)
      buckets[place] = (buckets[place] ?? 0) + 1
    },
    read(wanted = slotCount) {
      const first = slotNumber() - wanted
      const sums = new Float64Array(bucketCount)
      // An array with holes, where a slot was never used.
      for (const { number, buckets } of Object.values(slots)) {
        if (number > first) for (const [place, n] of buckets.entries()) sums[place] = (sums[place] ?? 0) + n
      }
      const count = sums.reduce((sum, n) => sum + n, 0)
      return { count, p50: quantileOf(sums, count * 0.5), p99: quantileOf(sums, count * 0.99) }
    },
  }
}

export function bucketOf(ms: number): number {
  const bucket = ms <= lowestMs ? 0 : Math.ceil(Math.log2(ms / lowestMs) * bucketsPerOctave)
  return Math.min(bucket, bucketCount - 1)
}

/** @param buckets how many lengths are in each bucket, by its number */
export function quantilesOf(buckets: ReadonlyMap<number, number>): Quantiles {
  const sums = new Float64Array(bucketCount)
  let count = 0
  for (const [bucket, n] of buckets) {
    sums[bucket] = n
    count += n
  }
  return { count, p50: quantileOf(sums, count * 0.5), p99: quantileOf(sums, count * 0.99) }
}

function quantileOf(sums: Float64Array, rank: number): number | null {
  if (rank === 0) return null
  let passed = 0
  const place = sums.findIndex((n) => (passed += n) >= rank)
  const ms = place === 0 ? 0 : lowestMs * 2 ** ((place - 0.5) / bucketsPerOctave)
  return Number(ms.toPrecision(3))
}
