/** Does nothing, as a first task on the main thread. */
export default { run: () => 'First result' }
