/** The unit of work of a transaction on PostgreSQL, without a server. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { acceptRun } from '../../src/domain/run/new-run.ts'
import { addStep } from '../../src/domain/run/transitions.ts'
import { createUnitOfWork } from '../../src/store/postgres/writing/unit-of-work.ts'
import { runOf, start } from '../harness/store-run.ts'

const step = { name: 'read', value: '1' }

test('a step is stored at the position that its run has counted, and never without a count', () => {
  const run = acceptRun(runOf(), start)
  const claim = { runId: run.id, jobIndex: 0, claim: 1 }
  const unit = createUnitOfWork([])
  unit.add(run)
  assert.throws(() => unit.addStep(claim, step, start), /has no step/)
  unit.save(addStep(run, claim, step.value.length))
  unit.addStep(claim, step, start)
  assert.equal(
    unit.finish().steps.map(({ index, name }) => ({ index, name })),
    [{ index: 0, name: 'read' }],
  )
})

test('a run that is added and removed in one transaction leaves no trace', () => {
  const run = acceptRun(runOf(), start)
  const unit = createUnitOfWork([])
  unit.add(run)
  unit.remove(run)
  assert.equal(unit.added(), [])
  assert.equal(unit.finish(), createUnitOfWork([]).finish())
})

test.run()
