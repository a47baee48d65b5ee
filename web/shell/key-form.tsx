/** Asks for an API key if the service requires one. */
import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { apiKey, setKey } from './service.ts'

export function KeyForm() {
  const typed = useSignal('')
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.focus(), [])
  const wasRefused = apiKey.value !== ''
  const submit = (event: Event): void => {
    event.preventDefault()
    if (typed.value.trim() !== '') setKey(typed.value.trim())
  }
  return (
    <form class="card narrow" onSubmit={submit}>
      <h1>{wasRefused ? 'The service does not know this key.' : 'This service needs an API key.'}</h1>
      <p class="dim">One of its API_KEYS, or of API_KEYS_READ to look only. It is kept until this tab is closed.</p>
      <label class="field">
        <span>API key</span>
        <input
          ref={field}
          type="password"
          autocomplete="off"
          value={typed.value}
          onInput={(event) => (typed.value = event.currentTarget.value)}
        />
      </label>
      <button class="btn primary" type="submit">
        Show the runs
      </button>
    </form>
  )
}
