/** The HTTP side of a service: what all places where it is mounted share, and its end. */
import type { WhyWaiting } from '../domain/job.ts'
import { type Feed, createRunWatch } from '../feed/feed.ts'
import { createResponder } from './responder.ts'
import { createBodyParser } from './body/body-parser.ts'
import { createBodyReader } from './body/read-body.ts'
import { createByteBudget } from './byte-budget.ts'
import { createChangeStreams } from './streaming/change-streams.ts'
import { createRunStreams } from './streaming/run-streams.ts'
import { createStreamRoom } from './streaming/event-stream.ts'
import { type AskInProcess, createInProcess } from './in-process.ts'
import { createLongPolls } from './streaming/long-poll.ts'
import { createMount, type Mount } from './router.ts'
import type { MountOptions, ServiceParts } from './route.ts'
import type { ProgressOf } from './views/job.ts'

export interface Http {
  /** The routes at a place of their own: in a server, or in another app. */
  mount(options: MountOptions): Mount
  /** The routes for this process itself. @param prefix of the addresses that it is given */
  connect(prefix: string): AskInProcess
  /** A run was accepted, or has changed: streams of the list say so. */
  noteChange(): void
  openStreams(): number
  /** Answers all long polls, and those that come later at once. */
  dismissPolls(): void
  /** Sends each stream the newest state of its run, and ends it. */
  closeStreams(): Promise<void>
  /** Ends what is left, when no request is under way. */
  stop(): void
}

export interface HttpOptions extends ServiceParts {
  readonly feed: Feed
  readonly progressOf: ProgressOf
  readonly whyWaiting: WhyWaiting
}

export function createHttp({ feed, progressOf, whyWaiting, ...options }: HttpOptions): Http {
  const { config, store, log } = options
  const { committedAt } = options.intake
  const view = { showsStacks: config.logLevel === 'debug', progressOf, whyWaiting, committedAt }
  const runWatch = createRunWatch(feed, store)
  const polls = createLongPolls(runWatch)
  const streamRoom = createStreamRoom(config.maxStreams)
  const streams = createRunStreams({ ...view, room: streamRoom, runWatch, log })
  const changeStreams = createChangeStreams({ room: streamRoom })
  const bodyParser = createBodyParser()
  const bodyBudget = createByteBudget(config.maxInFlightBytes)
  const answerBudget = createByteBudget(config.maxInFlightBytes)

  function mount(place: MountOptions): Mount {
    const ownView = { ...view, prefix: place.prefix }
    const maxBytes = place.isOwn === true ? Infinity : config.maxBodyBytes
    const readBody = createBodyReader({ maxBytes, parser: bodyParser, budget: bodyBudget })
    const responder = createResponder({ view: ownView, store, budget: answerBudget, log })
    return createMount({ ...options, view: ownView, readBody, responder, polls, streams, changeStreams }, place)
  }

  return {
    mount,
    connect: (prefix) => createInProcess(mount({ prefix, isHosted: false, isOwn: true }).middleware, log),
    noteChange: changeStreams.note,
    openStreams: streamRoom.size,
    dismissPolls: polls.dismiss,
    async closeStreams() {
      changeStreams.close()
      await streams.close()
    },
    stop: bodyParser.close,
  }
}
