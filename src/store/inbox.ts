/** Requests for runs that were committed together with something else, by others than the service. */

export interface InboxRequest {
  /** Of the run. */
  readonly id: string
  /** JSON; null where it is larger than was asked for. */
  readonly text: string | null
}

export interface InboxQuery {
  /** Ids of requests that are left where they are. */
  readonly except: readonly string[]
  /** Of a request. */
  readonly maxBytes: number
}

export interface Inbox {
  /** Calls back when requests may be waiting. */
  onRequests(listener: () => void): void
  /**
   * Calls `work` with the oldest requests, for one process at a time. `accept` of a run with `isFromInbox` takes the request
   * of that id out of the inbox.
   * @returns whether there may be more, and no other process is at them
   * @throws DatabaseFailure
   */
  take(query: InboxQuery, work: (requests: readonly InboxRequest[]) => Promise<void>): Promise<boolean>
}
