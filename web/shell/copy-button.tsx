/** Copies a text, also over plain HTTP, where browsers offer scripts no clipboard. */
import { useSignal } from '@preact/signals'

const shownMs = 1_500

export function CopyButton({ text, label = 'copy' }: { readonly text: string; readonly label?: string }) {
  const isCopied = useSignal(false)
  const copy = async (): Promise<void> => {
    await write(text)
    isCopied.value = true
    setTimeout(() => (isCopied.value = false), shownMs)
  }
  return (
    <button class="btn small" type="button" onClick={() => void copy()}>
      {isCopied.value ? 'copied' : label}
    </button>
  )
}

async function write(text: string): Promise<void> {
  // Absent in insecure contexts, although the types say otherwise.
  const clipboard = navigator.clipboard as Clipboard | undefined
  if (clipboard !== undefined) return clipboard.writeText(text)
  const area = document.createElement('textarea')
  area.value = text
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}
