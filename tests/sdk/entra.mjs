// Gets tokens through unmodified @azure/identity. Started by entra.py, which registered the applications.
//
//   node entra.mjs FOLDER-OF-NPM < settings.json
//
// Settings: authority, tenant, secret {id, secret}, certificate {id, pem, pfx, passphrase}, scope.
import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const require = createRequire(resolve(process.argv[2], 'package.json'));
const { ClientCertificateCredential, ClientSecretCredential, EnvironmentCredential } = require('@azure/identity');
const settings = JSON.parse(readFileSync(0, 'utf8'));
const { authority, tenant, scope } = settings;
const options = { authorityHost: authority, disableInstanceDiscovery: true };
const claims = (token) => JSON.parse(Buffer.from(token.token.split('.')[1], 'base64url'));

async function gets(name, credential, proof) {
  const found = claims(await credential.getToken(scope));
  assert.equal(found.appidacr, proof, `${name}: ${JSON.stringify(found)}`);
}

const { secret, certificate } = settings;
await gets('secret', new ClientSecretCredential(tenant, secret.id, secret.secret, options), '1');
// RS256 or PS256, and which thumbprint, is the library's choice.
await gets('certificate', new ClientCertificateCredential(tenant, certificate.id, { certificatePath: certificate.pem }, options), '2');
await gets('certificate with its chain', new ClientCertificateCredential(tenant, certificate.id, { certificatePath: certificate.pem },
  { ...options, sendCertificateChain: true }), '2');
// `adfs` needs no option beside the host.
await gets('adfs', new ClientSecretCredential('adfs', secret.id, secret.secret, { authorityHost: authority }), '1');
Object.assign(process.env, { AZURE_AUTHORITY_HOST: authority, AZURE_TENANT_ID: 'adfs', AZURE_CLIENT_ID: certificate.id,
  AZURE_CLIENT_CERTIFICATE_PATH: certificate.pem });
await gets('environment', new EnvironmentCredential(), '2');
await assert.rejects(new ClientSecretCredential(tenant, secret.id, 'wrong', options).getToken(scope), /AADSTS7000215/);
