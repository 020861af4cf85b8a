// What the pages at the door cannot do without a script: passkeys, and taking a set-up code out of the address.

const octets = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const described = (list) => (list ?? []).map((each) => ({ ...each, id: octets(each.id) }));

const ways = {
  async get(options) {
    const made = await navigator.credentials.get({
      publicKey: { ...options, challenge: octets(options.challenge), allowCredentials: described(options.allowCredentials) },
    });
    const { authenticatorData, clientDataJSON, signature, userHandle } = made.response;
    return answered(made, {
      authenticatorData: text(authenticatorData),
      clientDataJSON: text(clientDataJSON),
      signature: text(signature),
      userHandle: userHandle ? text(userHandle) : undefined,
    });
  },
  async create(options) {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: octets(options.challenge),
        user: { ...options.user, id: octets(options.user.id) },
        excludeCredentials: described(options.excludeCredentials),
      },
    });
    const { attestationObject, clientDataJSON } = made.response;
    return answered(made, { attestationObject: text(attestationObject), clientDataJSON: text(clientDataJSON) });
  },
};

const answered = (made, response) => ({ id: made.id, rawId: text(made.rawId), type: made.type, response, clientExtensionResults: {} });

const callout = document.querySelector("[data-problem]");
const said = JSON.parse(callout?.dataset.problem || "{}");

class Refused extends Error {
  constructor(problem) {
    super(problem.what);
    this.problem = problem;
  }
}

async function post(url, token, fields) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "regalia-csrf": token },
    body: JSON.stringify(fields),
  });
  const told = await answer.json().catch(() => ({}));
  if (told.next && !answer.ok) location.assign(told.next);
  if (!answer.ok) throw new Refused(told.problem ?? own("unexpected"));
  return told;
}

// What the page has ready for it, in its reader's language.
function own(name) {
  const [what, then] = said[name];
  return { what, then };
}

function tell(problem) {
  for (const part of ["what", "then"]) callout.querySelector(`[data-${part}]`).textContent = problem[part] ?? "";
  const meaning = callout.querySelector("[data-id]");
  meaning.hidden = !problem.id;
  meaning.href = problem.id ? `/api/v1/errors/${problem.id}` : "";
  meaning.textContent = problem.id ? said.meaning.replace("%(id)s", problem.id) : "";
  callout.hidden = false;
}

async function use(button) {
  const { passkey, question, answer, token, next } = button.dataset;
  const form = button.closest("form");
  if (form && !form.reportValidity()) return;
  const fields = form ? Object.fromEntries(new FormData(form)) : {};
  callout.hidden = true;
  button.setAttribute("aria-busy", "true");
  try {
    const options = await post(question, token, fields);
    const made = await ways[passkey](options);
    const told = await post(answer, token, { ...fields, next: next ?? "", answer: made });
    location.assign(told.next);
  } catch (error) {
    tell(error.problem ?? (error.name in said ? own(error.name) : { ...own("other"), then: error.message }));
  } finally {
    button.removeAttribute("aria-busy");
  }
}

if (window.PublicKeyCredential) {
  for (const button of document.querySelectorAll("[data-passkey]")) {
    button.hidden = false;
    button.form?.removeAttribute("hidden");
    button.addEventListener("click", () => use(button));
    // Enter in a field is for the first button, as everywhere.
    if (button.form?.matches("[data-account]")) {
      button.form.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && event.target.matches("input")) {
          event.preventDefault();
          button.click();
        }
      });
    }
  }
}

const opening = document.querySelector("[data-set-up]");

function open() {
  if (location.hash.length < 2) return;
  opening.elements.code.value = decodeURIComponent(location.hash.slice(1));
  // It is a secret: neither the address bar nor the history keeps it.
  history.replaceState(null, "", location.pathname);
  opening.requestSubmit();
}

if (opening) {
  open();
  addEventListener("hashchange", open);
}
