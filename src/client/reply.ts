/** An answer over HTTP, or one from inside the process. */

/** As much of a Response as is read. */
export interface Reply extends Pick<Response, 'ok' | 'status' | 'statusText' | 'url' | 'text' | 'json'> {
  readonly headers: Pick<Headers, 'get'>
  readonly body: { getReader(): ReplyReader } | null
}

export interface ReplyReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  cancel(): Promise<void>
}
