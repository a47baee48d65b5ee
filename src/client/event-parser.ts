/** Parses server-sent events by https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream. */

export interface ServerEvent {
  /** `message` where the server has given it no name. */
  readonly name: string
  readonly data: string
  /** The last one that was sent, with this event or before; empty where none was. */
  readonly lastEventId: string
}

export interface EventParser {
  /** Takes what has come, cut anywhere between two characters; an event is returned when its blank line is in. */
  push(text: string): ServerEvent[]
  /** What the server wants to be waited before a reconnect, in milliseconds; null while it has not said. */
  retryMs(): number | null
}

/** @param lastEventId from an earlier stream of the same events */
export function createEventParser(lastEventId = ''): EventParser {
  let partialLine = ''
  let endedWithReturn = false
  let name = ''
  let data: string[] = []
  let id = lastEventId
  let retryMs: number | null = null

  function takeField(line: string): void {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') data.push(value)
    else if (field === 'event') name = value
    else if (field === 'id' && !value.includes('\0')) id = value
    else if (field === 'retry' && /^\d+$/.test(value)) retryMs = Number(value)
  }

  function dispatch(): ServerEvent[] {
    const events = data.length === 0 ? [] : [{ name: name || 'message', data: data.join('\n'), lastEventId: id }]
    name = ''
    data = []
    return events
  }

  return {
    push(text) {
      // A line that ended with a carriage return was taken as it came: the line feed after it belongs to it.
      const rest = endedWithReturn && text.startsWith('\n') ? text.slice(1) : text
      if (text !== '') endedWithReturn = text.endsWith('\r')
      const [first = '', ...others] = rest.split(/\r\n|\n|\r/)
      const lines = [partialLine + first, ...others]
      partialLine = lines.pop() ?? ''
      return lines.flatMap((line) => {
        if (line === '') return dispatch()
        // A comment, which has no field name.
        if (!line.startsWith(':')) takeField(line)
        return []
      })
    },
    retryMs: () => retryMs,
  }
}
