/** Does nothing, alone on its thread. */
export default { kind: 'cpu', run: () => 'Second result' }
