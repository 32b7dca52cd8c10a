/** Names in an OCI layout, the annotation org.opencontainers.image.ref.name (image-spec annotations.md). */

const COMPONENT = '[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*'
const REF_NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const LENGTH_MAX = 1024

/** Whether it has the form that the specification asks for. */
export function isRefName(text: string): boolean {
  return text.length <= LENGTH_MAX && REF_NAME.test(text)
}
