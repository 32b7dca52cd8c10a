/** Whether a registry takes credentials. They are kept by the client, not here. */
import { checkLogin } from '../registry/login.js'
import { requiredFields } from './body.js'
import type { Call } from './call.js'
import { notImplemented } from './failure.js'
import type { Route } from './router.js'

export const loginRoutes: Route[] = [{ method: 'POST', path: '/auth', handler: login }]

async function login(call: Call): Promise<void> {
  const body = await requiredFields(call)
  if (body.text('identitytoken') || body.text('registrytoken')) throw notImplemented('a login with a token')
  const auth = { username: body.requiredText('username'), password: body.requiredText('password') }
  await checkLogin(body.text('serveraddress') || 'docker.io', auth, { signal: call.gone })
  call.json({ Status: 'Login Succeeded', IdentityToken: '' })
}
