/** What POST /run-tasks does, for callers inside the process. */
import { answerProblemOf } from './failed-answer.ts'
import type { HttpDeps } from './deps.ts'
import { parseRunRequest } from './run-schema.ts'
import { wholeRun } from './run-text.ts'
import { viewRun, type RunView } from './run-view.ts'

export function createRunDirectly({ intake, config, answers }: Pick<HttpDeps, 'intake' | 'config' | 'answers'>) {
  const terms = { waitMs: null, idempotency: null }
  const options = { showsStacks: config.logLevel === 'debug' }

  /** @throws AppError where the route would answer with a problem */
  return async (input: unknown): Promise<RunView> => {
    const { run } = await intake.submit(parseRunRequest(input, config.maxTasksPerRun), terms)
    const whole = await wholeRun(run, answers.wholeJob(run.id))
    if (whole.answer !== null && whole.answer.status !== 200) throw answerProblemOf(whole, whole.answer, options)
    return viewRun(whole, options)
  }
}
