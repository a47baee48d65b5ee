/** Which operations go together: nothing passes by what was asked for earlier of the same run. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nextAdmissions, nextSettlings } from '../../src/store/postgres/next-group.ts'
import type { Admission, Settling } from '../../src/store/postgres/operations.ts'
import { requestAt, runOf, start } from '../harness/store-run.ts'

const claimIn = (runId: string, jobIndex = 0) => ({ runId, jobIndex, claim: 1 })
const complete = (runId: string, jobIndex = 0): Settling => {
  return { verb: 'complete', args: [claimIn(runId, jobIndex), '1', start] }
}
const cancel = (runId: string): Settling => ({ verb: 'cancel', args: [runId, null, start] })
const read = (runId: string): Settling => ({ verb: 'getRun', args: [runId] })

const cases: [what: string, waiting: Settling[], expected: number[]][] = [
  ['completions and reads pass by what is none', [complete('a'), cancel('b'), complete('c'), read('c')], [0, 2, 3]],
  ['but not what they are about', [complete('a'), cancel('b'), complete('b'), read('b'), complete('a', 1)], [0, 4]],
  ['what is none passes by them', [cancel('a'), complete('b'), cancel('c')], [0, 2]],
  ['and takes with it what was asked for later of its runs', [cancel('a'), complete('a'), read('a')], [0, 1, 2]],
  ['but not what waits behind one that stays', [cancel('a'), complete('b'), cancel('b'), cancel('a')], [0, 3]],
  ['a job is completed once in a group', [complete('a'), complete('a'), complete('a', 1), complete('b')], [0, 3]],
]

for (const [what, waiting, expected] of cases) {
  test(what, () => assert.equal([...nextSettlings(waiting)], expected))
}

test('one claim goes at a time, with every run that is to be accepted', () => {
  const accept: Admission = { verb: 'accept', args: [runOf(), start] }
  const claim: Admission = { verb: 'claim', args: [{ ...requestAt(start), lost: true, tasks: null }] }
  assert.equal([...nextAdmissions([claim, accept, claim, accept])], [0, 1, 3])
})

test('a group has an end', () => {
  const many = Array.from({ length: 500 }, (_, index) => complete(`run ${index}`))
  assert.equal(
    [...nextSettlings(many)],
    Array.from({ length: 200 }, (_, index) => index),
  )
})

test.run()
