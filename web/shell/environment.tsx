/** Where the service runs, as its operator has named it: a badge that is hard to overlook where a mistake is dear. */
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
      // The page itself says what is wrong.
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
