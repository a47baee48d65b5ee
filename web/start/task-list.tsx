/** The tasks of the run to start, in order. The first one's result is the answer. */
import type { TaskView } from 'forerunner/client'
import { withoutEntry, type TaskEntry } from './request.ts'
import { SchemaForm } from './schema-form.tsx'

export interface TaskListProps {
  readonly tasks: readonly TaskView[]
  readonly entries: readonly TaskEntry[]
  readonly respond: string
  readonly onChange: (entries: readonly TaskEntry[]) => void
}

export function TaskList({ tasks, entries, respond, onChange }: TaskListProps) {
  const replace = (index: number, entry: TaskEntry): void => onChange(entries.with(index, entry))
  return (
    <ol class="entries">
      {entries.map((entry, index) => (
        <li key={`${index}-${entry.name}`}>
          <div class="entry-head">
            <label class="field inline">
              <span>{index === 0 && respond === 'first' ? '▸ Answers' : `Job ${index}`}</span>
              <select
                value={entry.name}
                onChange={(event) => replace(index, { ...entry, name: event.currentTarget.value, input: undefined })}
              >
                {[...new Set([entry.name, ...tasks.map(({ name }) => name)])].map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
            {index > 0 && (
              <label class="field inline needed">
                <span>after jobs</span>
                <input
                  placeholder="none"
                  value={entry.after?.join(', ') ?? ''}
                  onChange={(event) => replace(index, { ...entry, after: indexesOf(event.currentTarget.value, index) })}
                />
              </label>
            )}
            {entries.length > 1 && (
              <button
                class="btn small"
                type="button"
                aria-label={`Remove job ${index}, ${entry.name}`}
                onClick={() => onChange(withoutEntry(entries, index))}
              >
                remove
              </button>
            )}
          </div>
          <SchemaForm
            label={entry.name}
            schema={tasks.find(({ name }) => name === entry.name)?.input ?? null}
            value={entry.input}
            onChange={(input) => replace(index, { ...entry, input })}
          />
        </li>
      ))}
    </ol>
  )
}

/** Only earlier entries: the service accepts no others. */
function indexesOf(text: string, below: number): number[] {
  const indexes = text.split(/[\s,]+/).filter((part) => /^\d{1,4}$/.test(part))
  return [...new Set(indexes.map(Number))].filter((index) => index < below)
}
