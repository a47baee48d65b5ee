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
import type { DeliveryClaims } from '../store/claim-requests.ts'
import type { Store } from '../store/store.ts'
import { createLooks } from './looks.ts'
import { type Message, type Post, type PostResult, signMessage } from './post.ts'
import { createReceivers } from './receivers.ts'

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

/** `isSent`: false if the message could not be made, which says nothing about the receiver. */
type Tried = PostResult & { readonly isSent: boolean }

/** The status by which a receiver unsubscribes. */
const gone = 410

export function createWebhookSender(options: WebhookSenderOptions): WebhookSender {
  const { store, secrets, post, textOf, onTried, onGivenUp, clock, log, random = Math.random } = options
  const sending = new Map<ClaimedDelivery, Promise<void>>()
  const receivers = createReceivers()
  const aborting = new AbortController()
  const looks = createLooks({
    claim,
    release: () => store.releaseDeliveries([...sending.keys()]),
    sendingCount: () => sending.size,
    isShared: store.notifier !== null,
    clock,
    log,
  })

  async function claim(after: string, among?: readonly string[]): Promise<DeliveryClaims> {
    const room = receivers.room(sending.keys())
    const claims = await store.claimDeliveries({ ...room, after, at: clock.now(), ...(among && { among }) })
    for (const delivery of claims.deliveries) sending.set(delivery, tryOnce(delivery))
    return claims
  }

  async function tryOnce(delivery: ClaimedDelivery): Promise<void> {
    let hasFailed = false
    try {
      await send(delivery)
    } catch (error) {
      hasFailed = true
      const fields = { err: error, ...fieldsOf(delivery) }
      log.debug(fields, 'the run of a webhook could not be read, or its outcome not be stored')
    }
    sending.delete(delivery)
    looks.onTryEnded({ receiver: delivery.receiver, hasFailed })
  }

  async function send(delivery: ClaimedDelivery): Promise<void> {
    const startedAt = performance.now()
    const tried = await postRun(delivery)
    if (tried === null || aborting.signal.aborted) return
    const tookMs = performance.now() - startedAt
    const result = resultOf(delivery, tried)
    report(delivery, tried, result, tookMs)
    if (tried.isSent) onTried(outcomeOf(tried), tookMs)
    await store.endDeliveryTry(delivery, result)
  }

  /** @returns null if the run was removed with its deliveries */
  async function postRun(delivery: ClaimedDelivery): Promise<Tried | null> {
    let isSent = false
    try {
      const run = await store.getRun(delivery.runId)
      if (run?.webhook === undefined) return null
      const message = messageFor(delivery, run)
      isSent = true
      return { isSent, ...(await post(run.webhook, message, aborting.signal)) }
    } catch (error) {
      if (error instanceof AppError && error.code === 'store-unavailable') throw error
      // A run that cannot be read is tried later, like a failure: released, it would be the receiver's first one again.
      return { isSent, status: null, reason: messageOf(error) }
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
  function report(delivery: ClaimedDelivery, tried: Tried, { state }: TryResult, tookMs: number): void {
    const { receiver, attempts } = delivery
    const fields = { ...fieldsOf(delivery), status: tried.status }
    const why = tried.status === null ? tried.reason : `it responded ${tried.status}`
    // A receiver that unsubscribes from one webhook may accept others.
    const saysNothing = !tried.isSent || tried.status === gone
    const change = saysNothing ? null : receivers.note(receiver, state === 'delivered', tookMs)
    if (change === 'recovered') log.info(fields, `${receiver} takes webhooks again`)
    if (state === 'failed') {
      onGivenUp()
      log.warn(fields, `a webhook was given up after ${attempts + 1} tries: ${why}`)
    } else if (!tried.isSent && attempts === 0) {
      log.warn(fields, `a webhook cannot be made, which is tried again: ${why}`)
    } else if (change === 'fails') log.warn(fields, `${receiver} does not take webhooks, which are tried again: ${why}`)
  }

  return {
    start: looks.start,
    wake: looks.wake,
    async drain(graceMs) {
      await looks.stop()
      if (sending.size === 0) return
      const abortTimer = setTimeout(() => aborting.abort(), graceMs)
      await Promise.all(sending.values())
      clearTimeout(abortTimer)
      // Hands back the aborted deliveries, so that other processes can send them at once.
      await store.releaseDeliveries([]).catch(() => {})
    },
    stop() {
      void looks.stop()
      aborting.abort()
    },
  }
}

/** For a process without a secret: warns once if there are webhooks to send. */
export function createMissingSender({ store, log }: Pick<WebhookSenderOptions, 'store' | 'log'>): WebhookSender {
  let hasWarned = false
  function wake(): void {
    if (!hasWarned) log.warn('there are webhooks to send, and this process has no secret to sign them: it sends none')
    hasWarned = true
  }

  async function findPending(): Promise<void> {
    // With the instant 0, none is due and none is claimed.
    const { nextDueAt } = await store.claimDeliveries({ ...createReceivers().room([]), after: '', at: 0 })
    if (nextDueAt !== null) wake()
  }

  return { start: () => void findPending().catch(() => {}), wake, drain: async () => {}, stop() {} }
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
