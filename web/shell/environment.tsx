/** The name of the environment that the operator has set, as a conspicuous badge. */
import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { apiKey, client, needsKey } from './service.ts'

const environment = signal<string | null>(null)

export function EnvironmentBadge() {
  useEffect(() => {
    if (needsKey.value) return
    client
      .peek()
      .stats()
      .then((stats) => (environment.value = stats.environment))
      // The page itself reports the error.
      .catch(() => {})
  }, [apiKey.value, needsKey.value])
  const name = environment.value
  if (name === null) return null
  return (
    <span class={`environment ${kindOf(name)}`} title="the service’s ENVIRONMENT">
      {name}
    </span>
  )
}

function kindOf(name: string): 'production' | 'staging' | 'other' {
  if (/^(?:prod|live)/i.test(name)) return 'production'
  return /^(?:stag|pre|uat|qa|test)/i.test(name) ? 'staging' : 'other'
}
