/** Jobs of the task `gate` run until the test opens their gate. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Home } from '../harness/child.ts'

export const gateJob = { name: 'gate', input: { gate: 'gate' } }

export function openGate(home: Home): void {
  writeFileSync(join(home.directory, 'gate'), '')
}
