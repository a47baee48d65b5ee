/**
 * The engine that several processes share, as the rest of the service sees it. It is made of parts once the database is
 * there and this process has its number in it.
 */
import { AppError } from '../../domain/errors.ts'
import { createTurnScheduler } from '../../runtime/event-loop.ts'
import type { Store } from '../store.ts'
import { startService, type PostgresOptions, type Service } from './service.ts'
import { createSubscribers } from './notifications/notifier.ts'

/** What follows a reply is up to a tenth of a millisecond of work each. */
const repliesPerTurn = 32

export function createPostgresStore(options: PostgresOptions): Store {
  const turns = createTurnScheduler(repliesPerTurn)
  const subscribers = createSubscribers(turns)
  let service: Service | null = null
  let starting: Promise<Service> | null = null
  let closing: Promise<void> | null = null

  function opened(): Service {
    if (service === null || closing !== null) throw new AppError('store-unavailable', 'the store is not open')
    return service
  }

  /** A verb of the service, which rejects while that is not there. */
  function verb<Name extends keyof Service['verbs']>(name: Name): Service['verbs'][Name] {
    const call = async (...args: unknown[]): Promise<unknown> => {
      const of = opened().verbs[name] as (...given: unknown[]) => Promise<unknown>
      return of(...args)
    }
    // The same one, later.
    return call as Service['verbs'][Name]
  }

  return {
    async open() {
      if (starting !== null) throw new Error('the store was opened before')
      starting = startService(options, subscribers, turns)
      service = await starting
    },
    async close() {
      starting ??= Promise.reject(new Error('the store was closed before it was opened'))
      closing ??= starting.then(
        (started) => started.stop(),
        () => {},
      )
      await closing
    },
    onChange: subscribers.onChange,
    backlog: () => service?.backlog() ?? 0,
    notifier: {
      onWork: subscribers.onWork,
      onGap: subscribers.onGap,
      publishProgress: async (progress) => service?.publishProgress(progress),
      remoteProgress: (...of) => service?.remoteProgress(...of) ?? null,
      lostClaims: () => service?.lostClaims() ?? 0,
    },

    accept: verb('accept'),
    claim: verb('claim'),
    complete: verb('complete'),
    fail: verb('fail'),
    release: verb('release'),
    expire: verb('expire'),
    defer: verb('defer'),
    cancel: verb('cancel'),
    retry: verb('retry'),
    remove: verb('remove'),
    leave: verb('leave'),
    rescue: verb('rescue'),
    prune: verb('prune'),
    // The clock of one process is not that of the others.
    shiftDueTimes: () => Promise.resolve(),
    checkWritable: verb('checkWritable'),
    getRun: verb('getRun'),
    getJob: verb('getJob'),
    getInput: verb('getInput'),
    listRuns: verb('listRuns'),
    stats: verb('stats'),
  }
}
