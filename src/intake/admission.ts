/** Decides before anything is written whether a run may come in. */
import { AppError } from '../domain/errors.ts'

export interface Admission {
  open(): void
  close(): void
  isOpen(): boolean
  /** Whether the smallest run could come in now. @throws AppError `shutting-down` or `overloaded` */
  checkRoom(): void
  /**
   * Makes room for so many jobs; call the returned function when they are accepted or refused by the store.
   * @throws AppError `shutting-down` or `overloaded`
   */
  admit(jobs: number): () => void
}

export interface AdmissionOptions {
  readonly maxBacklog: number
  /** Jobs not yet final, as of the last commit. */
  readonly backlog: () => number
}

export function createAdmission({ maxBacklog, backlog }: AdmissionOptions): Admission {
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
    open() {
      isOpen = true
    },
    close() {
      isOpen = false
    },
    isOpen: () => isOpen,
    checkRoom: () => check(1),
    admit(jobs) {
      check(jobs)
      pending += jobs
      return () => {
        pending -= jobs
      }
    },
  }
}
