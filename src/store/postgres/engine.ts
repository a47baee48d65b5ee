/**
 * The engine that several processes share: the contract of the store over the parts in `service.ts`, which are made when
 * the database can be reached and has given this process its number.
 */
import { AppError } from '../../domain/errors.ts'
import { createTurnScheduler } from '../../runtime/event-loop.ts'
import type { Store } from '../store.ts'
import { startService, type PostgresOptions, type Service } from './service.ts'
import { createSubscribers } from './notifications/notifier.ts'

/** Each reply causes up to a tenth of a millisecond of work. */
const repliesPerTurn = 32
const none: ReadonlySet<string> = new Set()

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

  /** A verb of the service; rejects while the store is not open. */
  function verb<Name extends keyof Service['verbs']>(name: Name): Service['verbs'][Name] {
    const call = async (...args: unknown[]): Promise<unknown> => {
      const of = opened().verbs[name] as (...given: unknown[]) => Promise<unknown>
      return of(...args)
    }
    // `call` has the verb's parameters and result.
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
    canSearch: options.hasSearch === true,
    inbox: { onRequests: subscribers.onRequests, take: async (...of) => opened().takeRequests(...of) },
    backlog: () => service?.backlog() ?? 0,
    pausedTasks: () => service?.pausedTasks() ?? none,
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
    keepStep: verb('keepStep'),
    keepLines: verb('keepLines'),
    pruneLines: verb('pruneLines'),
    addMinutes: verb('addMinutes'),
    pruneMinutes: verb('pruneMinutes'),
    expire: verb('expire'),
    setPaused: verb('setPaused'),
    defer: verb('defer'),
    cancel: verb('cancel'),
    retry: verb('retry'),
    remove: verb('remove'),
    leave: verb('leave'),
    rescue: verb('rescue'),
    prune: verb('prune'),
    claimDeliveries: verb('claimDeliveries'),
    settleDelivery: verb('settleDelivery'),
    retryDelivery: verb('retryDelivery'),
    releaseDeliveries: verb('releaseDeliveries'),
    // Several processes share the store, and each has a clock of its own.
    shiftDueTimes: () => Promise.resolve(),
    checkWritable: verb('checkWritable'),
    getRun: verb('getRun'),
    getJob: verb('getJob'),
    getInput: verb('getInput'),
    countAhead: verb('countAhead'),
    stepsOf: verb('stepsOf'),
    chunksOf: verb('chunksOf'),
    minutesOf: verb('minutesOf'),
    listRuns: verb('listRuns'),
    findKey: verb('findKey'),
    stats: verb('stats'),
    changeSchedule: verb('changeSchedule'),
    getSchedule: verb('getSchedule'),
    listSchedules: verb('listSchedules'),
    dueSchedules: verb('dueSchedules'),
  }
}
