/** What tasks did in each minute is kept in addition to what is kept of it, and read in order of time. */
import * as assert from 'uvu/assert'
import { minutesPerPrune, minutesPerRead } from '../../../src/domain/task-history.ts'
import type { Store } from '../../../src/store/store.ts'
import { start } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

const row = (task: string, at: number, figures = `"${at}"`) => ({ task, at, figures })

async function readAll(store: Store, task: string, from: number, to: number): Promise<string[]> {
  const found: string[] = []
  for (let after = null; ;) {
    const rows = await store.minutesOf({ task, from, to, after })
    found.push(...rows.map(({ figures }) => figures))
    if (rows.length < minutesPerRead) return found
    after = rows.at(-1) ?? null
  }
}

export function minutesContract(register: Register): void {
  register('minutes: those of one task and one range, several of a minute too', async ({ store }) => {
    await store.addMinutes([row('a', start + 2), row('b', start + 2, 'null'), row('a', start + 1)])
    await store.addMinutes([row('a', start + 2, 'true')])
    assert.equal(await readAll(store, 'a', start, start + 9), [`"${start + 1}"`, `"${start + 2}"`, 'true'])
    assert.equal(await readAll(store, 'a', start + 1, start + 2), [`"${start + 1}"`])
    assert.equal(await readAll(store, '', start, start + 9), [])
  })

  register('minutes: they are read in pages and pruned in steps', async ({ store }) => {
    const rows = Array.from({ length: minutesPerRead + 3 }, (_, index) =>
      row('a', start + Math.floor(index / 2), `${index}`),
    )
    await store.addMinutes(rows)
    const all = rows.map(({ figures }) => figures)
    assert.equal(await readAll(store, 'a', start, start + 9_999), all)
    assert.is(await store.pruneMinutes(start), 0)
    assert.is(await store.pruneMinutes(start + 9_999), minutesPerPrune)
    assert.is(await store.pruneMinutes(start + 9_999), rows.length - minutesPerPrune)
    assert.equal(await readAll(store, 'a', start, start + 9_999), [])
  })
}
