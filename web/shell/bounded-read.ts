/** Reads of what can be large: up to a bound, and beyond it into a file of the reader's. */
import { ask, authorization, baseUrl, parse } from './service.ts'

/** @returns null where the body is larger, which is then read no further; throws where there is no such thing */
export async function readBounded(path: string, maxBytes: number, signal: AbortSignal): Promise<unknown> {
  const text = await readBoundedText(path, maxBytes, signal)
  return text === null ? null : parse(text)
}

/** As `readBounded`, of the text as it came. */
export async function readBoundedText(path: string, maxBytes: number, signal: AbortSignal): Promise<string | null> {
  const response = await ask(new URL(path, baseUrl), { headers: authorization(), signal })
  if (!response.ok || response.body === null) throw await refusalOf(response)
  const reader = response.body.getReader()
  const parts: Uint8Array<ArrayBuffer>[] = []
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return new Blob(parts).text()
    bytes += value.byteLength
    if (bytes > maxBytes) {
      await reader.cancel()
      return null
    }
    parts.push(value)
  }
}

/** With the key of this tab, which a link has not. */
export async function download(path: string, fileName: string): Promise<void> {
  const response = await ask(new URL(path, baseUrl), { headers: authorization() })
  if (!response.ok) throw await refusalOf(response)
  save(await response.blob(), fileName)
}

/** An error that says what the problem says, and has its status. */
export async function refusalOf(response: Response): Promise<Error> {
  const { status } = response
  const { detail } = (await response.json().catch(() => ({}))) as { readonly detail?: string }
  return Object.assign(new Error(detail ?? `The service answered with status ${status}.`), { status })
}

export function save(content: Blob, fileName: string): void {
  const url = URL.createObjectURL(content)
  const link = document.createElement('a')
  link.href = url
  link.download = fileName
  link.click()
  URL.revokeObjectURL(url)
}
