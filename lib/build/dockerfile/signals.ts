/** Names of signals on Linux. */

const NAMES = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP ' +
    'TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
)

/** A number other than 0, or a name with or without SIG; real-time ones up to RTMIN+15 and down to RTMAX-14. */
export function isSignal(text: string): boolean {
  if (/^[-+]?\d+$/.test(text)) return Number(text) !== 0
  const name = text.toUpperCase().replace(/^SIG/, '')
  const [, from, distance] = /^(RTMIN\+|RTMAX-)([1-9]|1[0-5])$/.exec(name) ?? []
  if (from) return Number(distance) <= (from === 'RTMAX-' ? 14 : 15)
  return NAMES.has(name)
}
