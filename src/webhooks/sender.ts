/**
 * Sends the deliveries that are due, a bounded number at once and few of them to one receiver, so that a receiver that
 * fails or hangs holds up no other. A delivery is taken in the store before it is sent, and its outcome is committed
 * after it: when the process dies in between it is sent again, with the same id.
 */
import { messageOf, AppError } from '../domain/errors.ts'
import { deliveryId, keyOf, nextTryAt, type TryResult } from '../domain/webhook.ts'
import type { ClaimedDelivery, RunRecord } from '../domain/run.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime/clock.ts'
import { version } from '../runtime/package.ts'
import type { Store } from '../store/store.ts'
import type { Answer, Post } from './post.ts'
import { createReceivers, maxAtOnce } from './receivers.ts'
import { createHmac } from 'node:crypto'

export interface WebhookSender {
  start(): void
  /** A delivery may be due. */
  wake(): void
  /** Begins no more tries; resolves when those under way have ended, or are handed back after the grace. */
  drain(graceMs: number): Promise<void>
  /** Ends what is left. */
  stop(): void
}

/** How a try ended: it was taken, refused with a status, or not answered. */
export type TryOutcome = 'delivered' | 'refused' | 'unanswered'

export interface WebhookSenderOptions {
  readonly store: Pick<Store, 'claimDeliveries' | 'endDeliveryTry' | 'releaseDeliveries' | 'getRun' | 'notifier'>
  /** Each delivery is signed with all of them. */
  readonly secrets: readonly string[]
  readonly post: Post
  /** The run as receivers see it, as JSON text. */
  readonly textOf: (run: RunRecord) => string
  readonly onTried: (outcome: TryOutcome, tookMs: number) => void
  readonly onGivenUp: () => void
  readonly clock: Clock
  readonly log: Log
  /** From 0 to 1, for the jitter; default: random. */
  readonly random?: () => number
}

/** Between two looks at what is due later, or was left by other processes. */
const lookMs = 1_000
const minPauseMs = 20
/** After a look at so many receivers that it took several claims, for each of these: the store has other work. */
const restMs = 10
/** The receiver wants no more of it. */
const gone = 410

export function createWebhookSender(options: WebhookSenderOptions): WebhookSender {
  const { store, secrets, post, textOf, onTried, onGivenUp, clock, log, random = Math.random } = options
  const isShared = store.notifier !== null
  const sending = new Map<ClaimedDelivery, Promise<void>>()
  const receivers = createReceivers()
  const aborting = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> | null = null
  let isAskedAgain = false
  let isOver = true
  /** The receiver after which the next look begins. */
  let cursor = ''
  /** No look before this, on the monotonic clock: the last one took several claims. */
  let restsUntil = 0
  /** Receivers that a try has ended for since the last look. */
  const ended = new Set<string>()
  /** When taken deliveries without a try were last handed back, on the monotonic clock; null where there may be some. */
  let releasedAt: number | null = null

  /** @returns how long to wait until the next look, in milliseconds; null: until it is asked for */
  async function look(): Promise<number | null> {
    if (releasedAt === null || (isShared && performance.now() - releasedAt >= lookMs)) {
      releasedAt = performance.now()
      await store.releaseDeliveries([...sending.keys()])
    }
    ended.clear()
    let nextDueAt: number | null = null
    let claims = 0
    // To the last receiver, and where it began after others, once from the first one: they come in turn.
    for (let rounds = cursor === '' ? 1 : 2; rounds > 0 && sending.size < maxAtOnce; claims += 1) {
      const found = await store.claimDeliveries({ ...receivers.room(sending.keys()), after: cursor, at: clock.now() })
      for (const delivery of found.deliveries) begin(delivery)
      if (found.nextDueAt !== null) nextDueAt = Math.min(nextDueAt ?? Infinity, found.nextDueAt)
      if (found.after === null) rounds -= 1
      cursor = found.after ?? ''
    }
    if (claims > 1) restsUntil = performance.now() + claims * restMs
    if (nextDueAt !== null) return Math.min(lookMs, Math.max(minPauseMs, nextDueAt - clock.now()))
    return isShared ? lookMs : null
  }

  /** A look at all receivers costs the more the more there are, and one of them may have many deliveries that are due. */
  async function lookAtEnded(): Promise<number> {
    const among = [...ended]
    ended.clear()
    const found = await store.claimDeliveries({ ...receivers.room(sending.keys()), after: '', among, at: clock.now() })
    for (const delivery of found.deliveries) begin(delivery)
    return Math.max(0, restMsLeft())
  }

  const restMsLeft = (): number => restsUntil - performance.now()

  async function lookSurely(): Promise<void> {
    let pauseMs: number | null = lookMs
    try {
      pauseMs = await (restMsLeft() > 0 ? lookAtEnded() : look())
    } catch (error) {
      releasedAt = null
      log.debug({ err: error }, 'due webhooks could not be looked for; trying again')
    }
    looking = null
    if (isOver) return
    if (isAskedAgain) wake()
    // A try has failed meanwhile, and its delivery is to be handed back.
    else if (releasedAt === null) wakeLater(lookMs)
    else if (pauseMs !== null) wakeLater(pauseMs)
  }

  function wakeLater(pauseMs: number): void {
    if (isOver || looking !== null) return
    clearTimeout(timer)
    timer = setTimeout(wake, pauseMs)
  }

  function wake(): void {
    isAskedAgain = looking !== null
    if (isOver || looking !== null) return
    // Where half of the places are taken, those that wait for the next look come first.
    const hasRoom = ended.size > 0 && sending.size < maxAtOnce / 2
    if (restMsLeft() > 0 && !hasRoom) return wakeLater(restMsLeft())
    clearTimeout(timer)
    looking = lookSurely()
  }

  function begin(delivery: ClaimedDelivery): void {
    const leave = (): void => {
      sending.delete(delivery)
      ended.add(delivery.receiver)
    }
    const end = send(delivery).then(
      () => {
        leave()
        wake()
      },
      (error: unknown) => {
        leave()
        // Handed back by a later look, and sent again.
        releasedAt = null
        log.debug(
          { err: error, ...namesOf(delivery) },
          'the run of a webhook could not be read, or its outcome not be stored',
        )
        wakeLater(lookMs)
      },
    )
    sending.set(delivery, end)
  }

  async function send(delivery: ClaimedDelivery): Promise<void> {
    const startedAt = performance.now()
    const answer = await attempt(delivery)
    if (answer === null) return
    const result = resultOf(delivery, answer)
    const tookMs = performance.now() - startedAt
    note(delivery, answer, result, tookMs)
    onTried(outcomeOf(answer), tookMs)
    await store.endDeliveryTry(delivery, result)
  }

  /** null where there is nothing to settle: the run was removed, and the delivery with it, or the process leaves. */
  async function attempt(delivery: ClaimedDelivery): Promise<Answer | null> {
    try {
      const run = await store.getRun(delivery.runId)
      if (run?.webhook === undefined) return null
      const answer = await post(run.webhook, deliveryMessage(delivery, run), aborting.signal)
      return aborting.signal.aborted ? null : answer
    } catch (error) {
      // Nothing was sent: the receiver has not failed.
      if (error instanceof AppError && error.code === 'store-unavailable') throw error
      return { status: null, reason: messageOf(error) }
    }
  }

  function deliveryMessage(delivery: ClaimedDelivery, run: RunRecord) {
    const { outcome, endedAt } = delivery
    const timestamp = new Date(endedAt).toISOString()
    const body = `{"type":"run.${outcome}","timestamp":"${timestamp}","data":${textOf(run)}}`
    const signed = webhookHeaders({ id: deliveryId(delivery), at: clock.now(), body }, secrets)
    const headers = { 'Content-Type': 'application/json', 'User-Agent': `Forerunner/${version}`, ...signed }
    return { headers, body }
  }

  function resultOf({ attempts }: ClaimedDelivery, { status }: Answer): TryResult {
    if (isTaken(status)) return { state: 'delivered', lastStatus: status, nextAt: null }
    const nextAt = status === gone ? null : nextTryAt(attempts + 1, clock.now(), random())
    return { state: nextAt === null ? 'failed' : 'pending', lastStatus: status, nextAt }
  }

  /** One line for each receiver that begins to fail: it may be one for each run otherwise. */
  function note(delivery: ClaimedDelivery, answer: Answer, { state }: TryResult, tookMs: number): void {
    const { receiver } = delivery
    const fields = { ...namesOf(delivery), status: answer.status }
    if (state === 'delivered') {
      if (receivers.note(receiver, 'taken', tookMs)) log.info(fields, `${receiver} takes webhooks again`)
      return
    }
    const why = answer.status === null ? answer.reason : `it answered ${answer.status}`
    // One that wants no more of this webhook may take others.
    const wasFailing = answer.status === gone || receivers.note(receiver, 'failed', tookMs)
    if (state === 'failed') {
      onGivenUp()
      log.warn(fields, `a webhook was given up after ${delivery.attempts + 1} tries: ${why}`)
    } else if (!wasFailing) log.warn(fields, `${receiver} does not take webhooks, which are tried again: ${why}`)
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
      const late = setTimeout(() => aborting.abort(), graceMs)
      await Promise.all(sending.values())
      clearTimeout(late)
      // What was broken off is free for others at once.
      await store.releaseDeliveries([]).catch(() => {})
    },
    stop() {
      isOver = true
      clearTimeout(timer)
      aborting.abort()
    },
  }
}

function isTaken(status: number | null): boolean {
  return status !== null && status >= 200 && status <= 299
}

function outcomeOf({ status }: Answer): TryOutcome {
  if (status === null) return 'unanswered'
  return isTaken(status) ? 'delivered' : 'refused'
}

/** The receiver stands for its address, which can hold a secret. */
function namesOf(delivery: ClaimedDelivery) {
  const { runId, receiver } = delivery
  return { runId, delivery: deliveryId(delivery), receiver }
}

/**
 * The three headers of one try, signed by https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
 * @param secrets each of which signs it
 */
function webhookHeaders(
  { id, at, body }: { readonly id: string; readonly at: number; readonly body: string },
  secrets: readonly string[],
): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const timestamp = String(Math.floor(at / 1_000))
  const signed = `${id}.${timestamp}.${body}`
  const signatures = secrets.map(
    (secret) => `v1,${createHmac('sha256', keyOf(secret)).update(signed).digest('base64')}`,
  )
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}
