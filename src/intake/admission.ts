/** Decides before anything is written whether a run may come in. */
import { AppError } from '../domain/errors.ts'

export interface AdmissionOptions {
  readonly maxBacklog: number
  /** Jobs not yet final, as of the last commit. */
  readonly backlog: () => number
}

export type Admission = ReturnType<typeof createAdmission>

export function createAdmission({ maxBacklog, backlog }: AdmissionOptions) {
  let isOpen = false
  // On their way into a commit, and so not yet in the backlog.
  let pending = 0

  function check(jobs: number): void {
    if (!isOpen) throw new AppError('shutting-down', 'the service is not taking new runs')
    if (backlog() + pending + jobs > maxBacklog) {
      throw new AppError('overloaded', `${backlog() + pending} jobs are waiting or running; ${maxBacklog} may be`)
    }
  }

  return {
    open(): void {
      isOpen = true
    },
    close(): void {
      isOpen = false
    },
    isOpen: (): boolean => isOpen,
    /** Whether the smallest run could come in now. @throws AppError `shutting-down` or `overloaded` */
    checkRoom: (): void => check(1),
    /**
     * Makes room for so many jobs; call the returned function when they are accepted or refused by the store.
     * @throws AppError `shutting-down` or `overloaded`
     */
    admit(jobs: number): () => void {
      check(jobs)
      pending += jobs
      return () => {
        pending -= jobs
      }
    },
  }
}
