/**
 * Runs many small pieces of work a few per turn of the event loop, in order, so that a burst does not hold up timers
 * and sockets for as long as all of it takes.
 */
export interface TurnScheduler {
  /** Runs the piece in this turn when few came before it, else in a later one. It must not throw. */
  run(piece: () => void): void
}

/** @param perTurn pieces in one turn */
export function createTurnScheduler(perTurn: number): TurnScheduler {
  let pieces: (() => void)[] = []
  let next = 0
  let spent = 0
  let isScheduled = false

  function turn(): void {
    isScheduled = false
    spent = 0
    while (next < pieces.length && spent < perTurn) {
      spent += 1
      pieces[next]?.()
      next += 1
    }
    if (next < pieces.length) schedule()
    else {
      pieces = []
      next = 0
    }
  }

  function schedule(): void {
    if (isScheduled) return
    isScheduled = true
    setImmediate(turn)
  }

  return {
    run(piece) {
      if (next === pieces.length && spent < perTurn) {
        spent += 1
        // The next turn counts from zero.
        schedule()
        piece()
        return
      }
      pieces.push(piece)
      schedule()
    },
  }
}
