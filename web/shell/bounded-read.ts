/** Reads what may be large: up to a limit, or as a download. */
import { ask, authorization, baseUrl, parse } from './service.ts'

/** @returns null if the body is larger; then the rest is not read @throws an error with the response's status */
export async function readBounded(path: string, maxBytes: number, signal: AbortSignal): Promise<unknown> {
  const text = await readBoundedText(path, maxBytes, signal)
  return text === null ? null : parse(text)
}

/** Like `readBounded`, but returns the text. */
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

/** Uses the key of this tab, which a plain link could not send. */
export async function download(path: string, fileName: string): Promise<void> {
  const response = await ask(new URL(path, baseUrl), { headers: authorization() })
  if (!response.ok) throw await refusalOf(response)
  save(await response.blob(), fileName)
}

/** An error with the problem's text and status. */
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
