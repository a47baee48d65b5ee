/** Single-key shortcuts, active unless a field has the focus or a dialog is open. `shortcuts.tsx` lists them. */
import { useEffect } from 'preact/hooks'

/** @param actions by key; the ones of the first call are kept */
export function useKeys(actions: Readonly<Record<string, () => void>>): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof Element && event.target.closest('input, textarea, select') !== null
      const action = Object.hasOwn(actions, event.key) ? actions[event.key] : undefined
      const isCovered = document.querySelector('dialog[open]') !== null
      if (isTyping || isCovered || action === undefined || event.metaKey || event.ctrlKey || event.altKey) return
      event.preventDefault()
      action()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
}
