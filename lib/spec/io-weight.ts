/** Docker's shares of block IO, 10 to 1000, as those of cgroup v2, 1 to 10000: the conversion of the OCI runtimes. */
export function ioWeight(weight: number): number {
  return Math.floor(1 + ((weight - 10) * 9999) / 990)
}
