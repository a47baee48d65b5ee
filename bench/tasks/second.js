/** Does nothing, among many jobs that share a thread. */
export default { kind: 'io', run: () => 'Second result' }
