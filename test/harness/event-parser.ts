/** Parses an event stream like EventSource (WHATWG HTML, 9.2.6), and keeps the parts that EventSource drops. */

export type StreamPart =
  | { readonly kind: 'event'; readonly type: string; readonly id: string | null; readonly data: string }
  | { readonly kind: 'comment'; readonly text: string }
  | { readonly kind: 'retry'; readonly ms: number }

export interface EventParser {
  /** @returns the events that these bytes complete */
  push(bytes: Uint8Array): StreamPart[]
  /** The unfinished rest of the stream; empty after a clean end. */
  rest(): string
}

/** `id` is null if the event itself has none, although EventSource would keep the previous one. */
export function createEventParser(): EventParser {
  // Drops a byte order mark at the beginning.
  const decoder = new TextDecoder()
  let text = ''
  let type = ''
  let id: string | null = null
  let data: string[] = []

  function dispatch(): StreamPart[] {
    const event = { kind: 'event', type: type || 'message', id, data: data.join('\n') } as const
    const isEvent = data.length > 0
    type = ''
    id = null
    data = []
    return isEvent ? [event] : []
  }

  function take(line: string): StreamPart[] {
    if (line === '') return dispatch()
    const colon = line.indexOf(':')
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === '') return [{ kind: 'comment', text: value }]
    if (name === 'event') type = value
    else if (name === 'data') data.push(value)
    else if (name === 'id' && !value.includes('\0')) id = value
    else if (name === 'retry' && /^\d+$/.test(value)) return [{ kind: 'retry', ms: Number(value) }]
    else throw new Error(`a field that no client knows: ${line}`)
    return []
  }

  return {
    push(bytes) {
      text += decoder.decode(bytes, { stream: true })
      // A carriage return at the end may be the first half of a line end.
      const lines = text.split(/\r\n|\n|\r(?!$)/)
      text = lines.pop() ?? ''
      return lines.flatMap(take)
    },
    rest: () => [type, id ?? '', ...data, text].join(''),
  }
}
