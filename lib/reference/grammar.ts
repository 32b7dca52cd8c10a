/**
 * The grammar of image names, as distribution/reference has it: [domain/]path[:tag][@digest]. A domain is a host name or
 * an IPv6 address in brackets, with a port; a path is lower-case components with single separators in them.
 */

const ALNUM = '[a-z0-9]+'
const COMPONENT = `${ALNUM}(?:(?:[._]|__|-+)${ALNUM})*`
const PATH = `${COMPONENT}(?:/${COMPONENT})*`
const LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const HOST = `(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])`
const DOMAIN_TEXT = `${HOST}(?::[0-9]+)?`
const NAME_TEXT = `(?:(${DOMAIN_TEXT})/)?(${PATH})`
const TAG_TEXT = '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}'
const DIGEST_TEXT = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}'

export const DOMAIN = new RegExp(`^${DOMAIN_TEXT}$`)
/** Groups: domain, path. */
export const NAME = new RegExp(`^${NAME_TEXT}$`)
/** Groups: domain, path, tag, digest. */
export const REFERENCE = new RegExp(`^${NAME_TEXT}(?::(${TAG_TEXT}))?(?:@(${DIGEST_TEXT}))?$`)
export const TAG = new RegExp(`^${TAG_TEXT}$`)
/** A whole id, which is not a name. */
export const IDENTIFIER = /^[a-f0-9]{64}$/

/** Characters of a path, without its domain. */
export const PATH_MAX = 255
/** Longer texts are not looked at: a domain, a path, a tag, and the longest digest fit. */
export const TEXT_MAX = 1024
