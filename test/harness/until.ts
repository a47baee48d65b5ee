import { setTimeout as pause } from 'node:timers/promises'

const limitMs = 20_000
/** Between two looks: a test that waits in a tight loop would take a core from what it waits for. */
const firstPauseMs = 2
/** The longer it takes, the less it matters when the end of it is seen. */
const maxPauseMs = 20

/** Asks again until the answer is neither undefined nor false; a condition that never comes true fails the test. */
export async function until<Value>(
  what: string,
  ask: () => Promise<Value | undefined | false> | Value | undefined | false,
): Promise<Value> {
  const deadline = performance.now() + limitMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(maxPauseMs, pauseMs * 1.2)) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms in vain until ${what}`)
    await pause(pauseMs)
  }
}
