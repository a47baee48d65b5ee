/** Starts a run: an example with one click, or any tasks through a form. Both are also shown as `curl`. */
import { batch, useComputed, useSignal, type Signal } from '@preact/signals'
import { ProblemError, type RunView, type TaskView } from 'forerunner/client'
import { useEffect, useMemo } from 'preact/hooks'
import { CopyButton } from '../shell/copy-button.tsx'
import { addressOf, go } from '../shell/route.ts'
import { baseUrl, client, curlKey, wordsOf } from '../shell/service.ts'
import { readDraft } from './again.ts'
import { csvExample, recipe, type Example } from './examples.ts'
import { curlOf, requestOf, type Draft } from './request.ts'
import { TaskList } from './task-list.tsx'

/** How long the page waits for the answer before it shows the run without one. */
const waitS = 10
const modes = {
  first: 'the first task’s result',
  race: 'the first job to end',
  any: 'the first job to succeed',
  all: 'all results',
  none: 'nothing: accepted, and that is all',
}

export function StartPage({ from, task }: { readonly from: string | null; readonly task: string | null }) {
  const tasks = useSignal<readonly TaskView[]>([])
  const draft = useSignal<Draft>(task === null ? recipe.draft : draftOfTask(task))
  const isRead = useSignal(from === null)
  const isWaiting = useSignal(false)
  const trouble = useSignal('')
  const examples = useMemo(() => [recipe, csvExample()], [])
  useEffect(() => {
    document.title = 'Start a run · Forerunner'
    client
      .peek()
      .listTasks()
      .then((list) => (tasks.value = list))
      .catch((error: unknown) => (trouble.value = wordsOf(error)))
    if (from !== null)
      void readDraft(from).then(
        (found) =>
          batch(() => {
            draft.value = found
            isRead.value = true
          }),
        (error: unknown) => (trouble.value = wordsOf(error)),
      )
  }, [])

  const start = async (given: Draft): Promise<void> => {
    trouble.value = ''
    isWaiting.value = true
    try {
      const { id } = await runOf(given)
      go(addressOf({ run: id }))
    } catch (error) {
      trouble.value = troubleOf(error)
    } finally {
      isWaiting.value = false
    }
  }
  const names = new Set(tasks.value.map(({ name }) => name))
  const possible = examples.filter(({ draft: { tasks: needed } }) => needed.every(({ name }) => names.has(name)))
  return (
    <>
      <h1>{from === null ? 'Start a run; its first task answers.' : 'Run it again, as it was or changed.'}</h1>
      <p class="alert" role="alert">
        {trouble.value}
      </p>
      {from === null && task === null && (
        <div class="cols even">
          {possible.map((example) => (
            <ExampleCard key={example.title} example={example} isWaiting={isWaiting.value} onStart={start} />
          ))}
        </div>
      )}
      <DraftForm
        key={String(isRead.value)}
        tasks={tasks.value}
        draft={draft}
        isWaiting={isWaiting.value}
        onStart={start}
      />
    </>
  )
}

function draftOfTask(name: string): Draft {
  return { tasks: [{ name, input: undefined }], respond: 'first', tags: [] }
}

interface StartProps {
  readonly isWaiting: boolean
  readonly onStart: (draft: Draft) => Promise<void>
}

function ExampleCard({ example, isWaiting, onStart }: StartProps & { readonly example: Example }) {
  const curl = example.curl?.(new URL('run-tasks', baseUrl).href, curlKey()) ?? curlOf(requestOf(example.draft))
  return (
    <section class="card example">
      <div class="head">
        <h2>{example.title}</h2>
        <button class="btn primary" type="button" disabled={isWaiting} onClick={() => void onStart(example.draft)}>
          {isWaiting ? 'waiting for the answer…' : 'Start'}
        </button>
      </div>
      <p>{example.words}</p>
      <Curl text={curl} />
    </section>
  )
}

interface DraftFormProps extends StartProps {
  readonly tasks: readonly TaskView[]
  readonly draft: Signal<Draft>
}

function DraftForm({ tasks, draft, isWaiting, onStart }: DraftFormProps) {
  const curl = useComputed(() => curlOf(requestOf(draft.value)))
  const change = (next: Partial<Draft>): void => void (draft.value = { ...draft.value, ...next })
  const { tasks: entries, respond, tags } = draft.value
  const submit = (event: Event): void => {
    event.preventDefault()
    void onStart(draft.value)
  }
  return (
    <form class="card" onSubmit={submit}>
      <div class="head">
        <h2>Your own</h2>
        <button class="btn primary" type="submit" disabled={isWaiting}>
          {isWaiting ? 'waiting for the answer…' : 'Start this run'}
        </button>
      </div>
      <TaskList tasks={tasks} entries={entries} respond={respond} onChange={(next) => change({ tasks: next })} />
      <div class="entry-foot">
        <button
          class="btn"
          type="button"
          onClick={() => change({ tasks: [...entries, { name: tasks[0]?.name ?? 'first', input: undefined }] })}
        >
          Add a task
        </button>
        <label class="field inline">
          <span>The answer is</span>
          <select value={respond} onChange={(event) => change({ respond: event.currentTarget.value })}>
            {Object.entries(modes).map(([mode, words]) => (
              <option key={mode} value={mode}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <label class="field inline">
          <span>Tags</span>
          <input
            placeholder="order:42, eu"
            value={tags.join(', ')}
            onChange={(event) => change({ tags: tagsOf(event.currentTarget.value) })}
          />
        </label>
      </div>
      <Curl text={curl.value} />
    </form>
  )
}

function Curl({ text }: { readonly text: string }) {
  return (
    <div class="curl">
      <pre tabIndex={0}>{text}</pre>
      <CopyButton text={text} />
    </div>
  )
}

/** Waits for the answer like any client. If the answer is an error, the run exists all the same, and is shown. */
async function runOf(draft: Draft): Promise<Pick<RunView, 'id'>> {
  try {
    return await client.peek().runTasks(requestOf(draft), { waitS })
  } catch (error) {
    if (error instanceof ProblemError && error.runId !== undefined) return { id: error.runId }
    throw error
  }
}

function troubleOf(error: unknown): string {
  const { errors = [] } = error instanceof ProblemError ? error.problem : {}
  if (errors.length < 2) return wordsOf(error)
  return errors.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ')
}

function tagsOf(text: string): string[] {
  return text
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '')
}
