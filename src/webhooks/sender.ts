/**
 * Sends the deliveries that are due: a bounded number at once, and few of them to one receiver. A delivery is claimed in the
 * store before it is sent, and its result is committed afterwards: if the process dies in between, the delivery is sent again
 * with the same id.
 */
import { AppError, messageOf } from '../domain/errors.ts'
import type { ClaimedDelivery, RunRecord } from '../domain/run.ts'
import { deliveryId, nextTryAt, type TryResult } from '../domain/webhook.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import { type Message, type Post, type PostResult, signMessage } from './post.ts'
import { createReceivers, maxAtOnce } from './receivers.ts'

export interface WebhookSender {
  start(): void
  /** A delivery may be due. */
  wake(): void
  /** Starts no more tries. Resolves when those under way have ended; after the grace they are aborted and released. */
  drain(graceMs: number): Promise<void>
  /** Aborts the tries under way. */
  stop(): void
}

/** `refused`: the receiver responded with another status than 2xx; `unanswered`: it did not respond. */
export type TryOutcome = 'delivered' | 'refused' | 'unanswered'

export interface WebhookSenderOptions {
  readonly store: Pick<Store, 'claimDeliveries' | 'endDeliveryTry' | 'releaseDeliveries' | 'getRun' | 'notifier'>
  /** Each delivery is signed with all of them. */
  readonly secrets: readonly string[]
  readonly post: Post
  /** JSON text of the run, as receivers see it. */
  readonly textOf: (run: RunRecord) => string
  readonly onTried: (outcome: TryOutcome, tookMs: number) => void
  readonly onGivenUp: () => void
  readonly clock: Clock
  readonly log: Log
  /** From 0 to 1, for the jitter; default: random. */
  readonly random?: () => number
}

/** Longest wait before a look at deliveries that are due later, or that other processes have left. */
const lookMs = 1_000
/** Shortest wait before a look at deliveries that are due later. */
const minPauseMs = 20
/** Rest after a look, for each of its claims if it needed several: the store has other work. */
const restMs = 10
/** The status by which a receiver unsubscribes. */
const gone = 410

export function createWebhookSender(options: WebhookSenderOptions): WebhookSender {
  const { store, secrets, post, textOf, onTried, onGivenUp, clock, log, random = Math.random } = options
  const isShared = store.notifier !== null
  const sending = new Map<ClaimedDelivery, Promise<void>>()
  const receivers = createReceivers()
  const aborting = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> | null = null
  let isLookWanted = false
  let isOver = true
  /** The next look at all receivers starts after this one, in the order of their names. */
  let cursor = ''
  /** On the monotonic clock: no look at all receivers before that. */
  let restsUntil = 0
  /** Receivers of tries that have ended since the last look. */
  const freed = new Set<string>()
  /** When claimed deliveries that are not being sent were last released, on the monotonic clock; null: there may be some. */
  let releasedAt: number | null = null

  async function claim(after: string, among?: readonly string[]) {
    const room = receivers.room(sending.keys())
    const claims = await store.claimDeliveries({ ...room, after, at: clock.now(), ...(among && { among }) })
    for (const delivery of claims.deliveries) begin(delivery)
    return claims
  }

  /** @returns milliseconds until the next look; null: it waits to be woken */
  async function lookAtAll(): Promise<number | null> {
    if (releasedAt === null || (isShared && performance.now() - releasedAt >= lookMs)) {
      releasedAt = performance.now()
      await store.releaseDeliveries([...sending.keys()])
    }
    freed.clear()
    let nextDueAt = Infinity
    let claims = 0
    // From the cursor to the last receiver, then once more from the first one: each receiver gets its turn.
    for (let rounds = cursor === '' ? 1 : 2; rounds > 0 && sending.size < maxAtOnce; claims += 1) {
      const claimed = await claim(cursor)
      nextDueAt = Math.min(nextDueAt, claimed.nextDueAt ?? Infinity)
      if (claimed.after === null) rounds -= 1
      cursor = claimed.after ?? ''
    }
    if (claims > 1) restsUntil = performance.now() + claims * restMs
    if (nextDueAt < Infinity) return Math.min(lookMs, Math.max(minPauseMs, nextDueAt - clock.now()))
    return isShared ? lookMs : null
  }

  /** Cheaper than a look at all receivers, for one that has many due deliveries. */
  async function lookAtFreed(): Promise<number> {
    const among = [...freed]
    freed.clear()
    await claim('', among)
    return Math.max(0, leftOfRestMs())
  }

  const leftOfRestMs = (): number => restsUntil - performance.now()

  async function look(): Promise<void> {
    let pauseMs: number | null = lookMs
    try {
      pauseMs = await (leftOfRestMs() > 0 ? lookAtFreed() : lookAtAll())
    } catch (error) {
      releasedAt = null
      log.debug({ err: error }, 'due webhooks could not be looked for; trying again')
    }
    looking = null
    if (isOver) return
    if (isLookWanted) wake()
    // A try has failed during this look, and its delivery must be released.
    else if (releasedAt === null) wakeLater(lookMs)
    else if (pauseMs !== null) wakeLater(pauseMs)
  }

  function wakeLater(pauseMs: number): void {
    if (isOver || looking !== null) return
    clearTimeout(timer)
    timer = setTimeout(wake, pauseMs)
  }

  function wake(): void {
    isLookWanted = looking !== null
    if (isOver || looking !== null) return
    // While half of the tries are under way, the other half is left to receivers that wait for the next look at all.
    const mayLookAtFreed = freed.size > 0 && sending.size < maxAtOnce / 2
    if (leftOfRestMs() > 0 && !mayLookAtFreed) return wakeLater(leftOfRestMs())
    clearTimeout(timer)
    looking = look()
  }

  function begin(delivery: ClaimedDelivery): void {
    const leave = (): void => {
      sending.delete(delivery)
      freed.add(delivery.receiver)
    }
    const end = send(delivery).then(
      () => {
        leave()
        wake()
      },
      (error: unknown) => {
        leave()
        // A later look releases the delivery, and it is sent again.
        releasedAt = null
        const fields = { err: error, ...fieldsOf(delivery) }
        log.debug(fields, 'the run of a webhook could not be read, or its outcome not be stored')
        wakeLater(lookMs)
      },
    )
    sending.set(delivery, end)
  }

  async function send(delivery: ClaimedDelivery): Promise<void> {
    const startedAt = performance.now()
    const posted = await postRun(delivery)
    if (posted === null) return
    const tookMs = performance.now() - startedAt
    const result = resultOf(delivery, posted)
    report(delivery, posted, result, tookMs)
    onTried(outcomeOf(posted), tookMs)
    await store.endDeliveryTry(delivery, result)
  }

  /** @returns null if there is no result to store: the run was removed with its deliveries, or the process leaves */
  async function postRun(delivery: ClaimedDelivery): Promise<PostResult | null> {
    try {
      const run = await store.getRun(delivery.runId)
      if (run?.webhook === undefined) return null
      const posted = await post(run.webhook, messageFor(delivery, run), aborting.signal)
      return aborting.signal.aborted ? null : posted
    } catch (error) {
      // Nothing was sent, so this is no failure of the receiver.
      if (error instanceof AppError && error.code === 'store-unavailable') throw error
      return { status: null, reason: messageOf(error) }
    }
  }

  function messageFor(delivery: ClaimedDelivery, run: RunRecord): Message {
    const { outcome, endedAt } = delivery
    const body = `{"type":"run.${outcome}","timestamp":"${new Date(endedAt).toISOString()}","data":${textOf(run)}}`
    return signMessage(body, { id: deliveryId(delivery), at: clock.now(), secrets })
  }

  function resultOf({ attempts }: ClaimedDelivery, posted: PostResult): TryResult {
    const { status } = posted
    if (outcomeOf(posted) === 'delivered') return { state: 'delivered', lastStatus: status, nextAt: null }
    const nextAt = status === gone ? null : nextTryAt(attempts + 1, clock.now(), random())
    return { state: nextAt === null ? 'failed' : 'pending', lastStatus: status, nextAt }
  }

  /** Logs a line when a receiver begins to fail or has recovered, not for each try, and one for each delivery given up. */
  function report(delivery: ClaimedDelivery, posted: PostResult, { state }: TryResult, tookMs: number): void {
    const { receiver, attempts } = delivery
    const fields = { ...fieldsOf(delivery), status: posted.status }
    const why = posted.status === null ? posted.reason : `it responded ${posted.status}`
    // A receiver that unsubscribes from one webhook may accept others.
    const change = posted.status === gone ? null : receivers.note(receiver, state === 'delivered', tookMs)
    if (change === 'recovered') log.info(fields, `${receiver} takes webhooks again`)
    if (state === 'failed') {
      onGivenUp()
      log.warn(fields, `a webhook was given up after ${attempts + 1} tries: ${why}`)
    } else if (change === 'fails') log.warn(fields, `${receiver} does not take webhooks, which are tried again: ${why}`)
  }

  return {
    start() {
      isOver = false
      wake()
    },
    wake,
    async drain(graceMs) {
      isOver = true
      clearTimeout(timer)
      await looking
      if (sending.size === 0) return
      const abortTimer = setTimeout(() => aborting.abort(), graceMs)
      await Promise.all(sending.values())
      clearTimeout(abortTimer)
      // Other processes can send the aborted deliveries at once.
      await store.releaseDeliveries([]).catch(() => {})
    },
    stop() {
      isOver = true
      clearTimeout(timer)
      aborting.abort()
    },
  }
}

function outcomeOf({ status }: PostResult): TryOutcome {
  if (status === null) return 'unanswered'
  return status >= 200 && status <= 299 ? 'delivered' : 'refused'
}

/** The receiver is named instead of its address, which may contain a secret. */
function fieldsOf(delivery: ClaimedDelivery) {
  const { runId, receiver } = delivery
  return { runId, delivery: deliveryId(delivery), receiver }
}
