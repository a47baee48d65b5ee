/** A service with the tasks of these tests, and the few things that they ask of it. */
import { fileURLToPath } from 'node:url'
import type { ProcessClock } from '../../src/runtime/clock.ts'
import type { Config } from '../../src/config.ts'
import type { JobView } from '../../src/http/views/job.ts'
import type { RunView } from '../../src/http/views/run.ts'
import { readRun } from '../harness/run.ts'
import { startService, type Service } from '../harness/service.ts'
import { until } from '../harness/until.ts'

export interface DispatchService extends AsyncDisposable {
  readonly service: Service
  /** Accepts a run that nobody waits for; its id. */
  accept(...tasks: readonly object[]): Promise<string>
  /** The run, when what is asked of it holds. */
  runWhen(id: string, what: string, holds: (run: RunView) => boolean): Promise<RunView>
  /** The run's first job, when nothing more will happen to it. */
  ended(id: string): Promise<JobView>
}

const tasksDir = fileURLToPath(new URL('../fixtures/dispatch-tasks/', import.meta.url))

export async function startDispatchService(
  options: Partial<Config> = {},
  clock?: ProcessClock,
): Promise<DispatchService> {
  const service = await startService({ tasksDir, threads: 1, ioThreads: 1, ...options }, {}, undefined, clock)

  async function runWhen(id: string, what: string, holds: (run: RunView) => boolean): Promise<RunView> {
    return until(what, async () => {
      const run = await readRun(await service.get(`/runs/${id}`))
      return holds(run) && run
    })
  }

  return {
    service,
    async accept(...tasks) {
      return (await readRun(await service.post('/run-tasks', { respond: 'none', tasks }))).id
    },
    runWhen,
    async ended(id) {
      const { jobs } = await runWhen(id, 'the run is final', ({ state }) => state !== 'running')
      const [job] = jobs
      if (job === undefined) throw new Error('the run has no job')
      return job
    },
    [Symbol.asyncDispose]: () => service.stop(),
  }
}
