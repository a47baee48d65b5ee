/** The webhooks of the run's ends: the state of each delivery, and a button to send it again. */
import type { RunView } from 'forerunner/client'
import { AsCommands } from '../shell/commands.tsx'
import { CopyButton } from '../shell/copy-button.tsx'
import { secondNow } from '../time/clock.ts'
import { clockOf, countOf, durationOf } from '../time/format.ts'

type Delivery = NonNullable<RunView['deliveries']>[number]

export interface DeliveriesProps {
  readonly runId: string
  readonly deliveries: readonly Delivery[]
  readonly onRetry: (deliveryId: string) => void
}

const glyphs: Readonly<Record<string, string>> = { pending: '◌', delivered: '✓', failed: '✕' }
const kinds: Readonly<Record<string, string>> = { pending: 'queued', delivered: 'completed', failed: 'failed' }

export function Deliveries({ runId, deliveries, onRetry }: DeliveriesProps) {
  if (deliveries.length === 0) return null
  return (
    <section class="card" aria-label="Webhooks">
      <div class="head">
        <h2>Webhooks</h2>
        <small>reports of the run’s end</small>
      </div>
      <ul class="deliveries">
        {deliveries.map((delivery) => (
          <li key={delivery.id}>
            <span class={`state is-${kinds[delivery.state] ?? 'queued'}`}>
              <span class="glyph" aria-hidden="true">
                {glyphs[delivery.state] ?? '•'}
              </span>
              {delivery.state}
            </span>
            <div>
              <code>{delivery.url}</code>
              <small class="dim">
                {sayOf(delivery, secondNow.value)} <span class="mono">{delivery.id}</span>
              </small>
            </div>
            <span class="actions">
              <CopyButton text={delivery.id} label="copy id" />
              <button class="btn small" type="button" onClick={() => onRetry(delivery.id)}>
                {delivery.state === 'pending' ? 'Try now' : 'Send again'}
              </button>
              <AsCommands
                actions={[
                  {
                    path: `runs/${runId}/deliveries/${delivery.id}/retry`,
                    words: ['redeliver', runId, delivery.id],
                  },
                ]}
              />
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}

/** @param now the service's time, in epoch milliseconds */
function sayOf({ state, attempts, lastStatus, nextAt }: Delivery, now: number): string {
  const answer = lastStatus === null ? 'no answer' : `status ${lastStatus}`
  const tries =
    attempts === 0
      ? 'not tried yet'
      : `${countOf(attempts, 'attempt')}, ${attempts === 1 ? '' : 'the last with '}${answer}`
  if (state !== 'pending' || nextAt === null) return `${tries}.`
  const leftMs = Date.parse(nextAt) - now
  return leftMs <= 0
    ? `${tries}; it is due now.`
    : `${tries}; the next one at ${clockOf(nextAt)}, in ${durationOf(leftMs)}.`
}
