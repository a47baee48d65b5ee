/** What becomes of a process that cannot start. */
import * as assert from 'uvu/assert'
import type { Process } from '../harness/child.ts'

/** It ends with exit code 1 and one line that says why and names all of these. */
export async function endsWithRefusal(started: Process, names: readonly string[]): Promise<void> {
  assert.equal(await started.ended(), { code: 1, signal: null })
  const fatal = started.lines.filter(({ level }) => level === 'fatal')
  assert.is(fatal.length, 1)
  const told = fatal[0]?.msg ?? ''
  for (const name of names) assert.ok(told.includes(name), `"${told}" does not name ${name}`)
  assert.is(started.errors(), '')
}
