/** Reads the real CSV files that the tests share. */
import { readFileSync } from 'node:fs'

export function fixture(name: 'airports.csv' | 'seattle-weather.csv' | 'sp500-2000.csv'): string {
  return readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')
}
