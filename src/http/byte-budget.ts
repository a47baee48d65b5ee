/** Bounds the bytes that clients decide about and this process holds for them, over all requests together. */

export interface ByteHold {
  /**
   * Holds this many bytes instead of those before.
   * @returns false where there is no room for them; the hold is then as it was. After `release` nothing is held.
   */
  resize(bytes: number): boolean
  /** Gives all of them back; more than once is harmless. */
  release(): void
}

export interface ByteBudget {
  open(): ByteHold
  /** Bytes that are held now. */
  held(): number
}

/** @param maxBytes in all; whatever its size, one hold fits when there is no other */
export function createByteBudget(maxBytes: number): ByteBudget {
  let total = 0

  return {
    open() {
      let own = 0
      let isReleased = false
      return {
        resize(bytes) {
          if (isReleased) return true
          const others = total - own
          if (bytes > own && others > 0 && others + bytes > maxBytes) return false
          total = others + bytes
          own = bytes
          return true
        },
        release() {
          isReleased = true
          total -= own
          own = 0
        },
      }
    },
    held: () => total,
  }
}
