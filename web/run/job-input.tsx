/** The input of a job, as it is stored; a large one is offered as a download. */
import { useSignal } from '@preact/signals'
import type { JobView } from 'forerunner/client'
import { useEffect } from 'preact/hooks'
import { download, readBoundedText } from '../shell/bounded-read.ts'
import { wordsOf } from '../shell/service.ts'
import { JsonText } from './json-text.tsx'
import { prettyJson } from '../../src/domain/json.ts'

const maxInputBytes = 2 ** 18

type Shown = { readonly text: string } | { readonly isLarge: true } | { readonly trouble: string }

export function JobInput({ runId, job: { index, task } }: { readonly runId: string; readonly job: JobView }) {
  const shown = useSignal<Shown | null>(null)
  const path = `runs/${runId}/jobs/${index}/input`
  useEffect(() => {
    const end = new AbortController()
    readBoundedText(path, maxInputBytes, end.signal)
      .then((text) => (shown.value = text === null ? { isLarge: true } : { text: prettyJson(text) }))
      .catch((error: unknown) => {
        if (!end.signal.aborted) shown.value = { trouble: wordsOf(error) }
      })
    return () => end.abort()
  }, [path])
  const input = shown.value
  return (
    <section class="card" aria-label="Input">
      <div class="head">
        <h2>Input of {task}</h2>
      </div>
      {input === null && <p class="empty">…</p>}
      {input !== null && 'trouble' in input && <p class="empty">{input.trouble}</p>}
      {input !== null && 'isLarge' in input && (
        <div class="foot">
          <span class="dim">Too large to be shown here.</span>
          <button
            class="btn small"
            type="button"
            onClick={() =>
              void download(path, `${task}-${index}-input.json`).catch(
                (error: unknown) => (shown.value = { trouble: wordsOf(error) }),
              )
            }
          >
            download
          </button>
        </div>
      )}
      {input !== null &&
        'text' in input &&
        (input.text === 'null' ? (
          <p class="empty">It was started without an input.</p>
        ) : (
          <JsonText text={input.text} name={`${task}-${index}-input`} />
        ))}
    </section>
  )
}
