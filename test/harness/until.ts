import { setTimeout as pause } from 'node:timers/promises'

const limitMs = 20_000
/** Pause between two checks: a tight loop would take a core from what the test waits for. */
const firstPauseMs = 2
/** The longer the wait, the less its exact end matters. */
const maxPauseMs = 20

/** Repeats the check until it returns neither undefined nor false; after the limit, the test fails. */
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
