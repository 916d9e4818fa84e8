// Asks the reader's authenticator: to sign a decision, to sign in, to make a passkey. Only the pages that need it load it.

const toBytes = (text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (each) =>
    each.codePointAt(0),
  );

const toText = (buffer) =>
  btoa(String.fromCodePoint(...new Uint8Array(buffer)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

const described = (credentials) => credentials.map((each) => ({ ...each, id: toBytes(each.id) }));

/** Sends a call, and throws what it was refused with. */
async function send(path, body, headers) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { accept: 'application/json', ...headers },
    body,
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail ?? 'The server refused it.');
  return said;
}

const call = (path, body, csrf) =>
  send(path, JSON.stringify(body), {
    'content-type': 'application/json',
    ...(csrf && { 'x-csrf-token': csrf }),
  });

/** Passkeys are bound to the name under which the page was opened. */
function refuseOtherOrigin(origin) {
  if (location.origin !== origin)
    throw new Error(`Passkeys work only at ${origin}: open this page there.`);
}

async function sign({ options, origin }) {
  refuseOtherOrigin(origin);
  const { response, rawId } = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: toBytes(options.challenge),
      allowCredentials: described(options.allowCredentials),
    },
  });
  return {
    credential: toText(rawId),
    authenticator_data: toText(response.authenticatorData),
    client_data: toText(response.clientDataJSON),
    signature: toText(response.signature),
  };
}

async function make({ options, origin }) {
  refuseOtherOrigin(origin);
  const { response } = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: toBytes(options.challenge),
      user: { ...options.user, id: toBytes(options.user.id) },
      excludeCredentials: described(options.excludeCredentials),
    },
  });
  return {
    attestation: toText(response.attestationObject),
    client_data: toText(response.clientDataJSON),
    transports: response.getTransports?.() ?? [],
  };
}

/** A decision is sent once it is signed, exactly as it was when it was signed. */
async function decide(form) {
  const body = new URLSearchParams(new FormData(form));
  form.elements.passkey.value = JSON.stringify(await sign(await send(form.dataset.sign, body)));
  form.submit();
}

async function signIn(form) {
  const { csrf_token: token, next } = form.elements;
  const csrf = token.value;
  const asked = await call('/v1/sessions/passkey/challenge', {}, csrf);
  await call('/v1/sessions/passkey', await sign(asked), csrf);
  location.assign(next.value);
}

async function add(form) {
  const { csrf_token: csrf, name } = form.elements;
  const made = await make(await call('/v1/session/passkeys/challenge', {}, csrf.value));
  await call('/v1/session/passkeys', { name: name.value, ...made }, csrf.value);
  location.reload();
}

const explain = (error) => {
  if (error.name === 'InvalidStateError') return 'This device has a passkey for here already.';
  if (error.name === 'NotAllowedError' || error.name === 'AbortError')
    return 'Nothing was signed: it was cancelled, took too long, or this device has no such passkey.';
  return error.message;
};

/** Runs a step in place of sending its form, and says what went wrong. */
function inPlaceOf(form, step) {
  const said = form.querySelector('[data-said]');
  const button = form.querySelector('button[type="submit"]');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    said.hidden = true;
    button.disabled = true;
    step(form)
      .catch((error) => {
        said.textContent = explain(error);
        said.hidden = false;
      })
      .finally(() => {
        button.disabled = false;
      });
  });
}

if (globalThis.PublicKeyCredential) {
  for (const place of document.querySelectorAll('[data-needs-scripts]')) place.hidden = true;
  for (const form of document.querySelectorAll('form[data-sign]')) inPlaceOf(form, decide);
  for (const form of document.querySelectorAll('form[data-passkey="sign-in"]')) {
    inPlaceOf(form, signIn);
    form.hidden = false;
  }
  for (const form of document.querySelectorAll('form[data-passkey="add"]')) {
    inPlaceOf(form, add);
    form.hidden = false;
  }
}
