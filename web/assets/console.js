// Small comforts where scripts run. Every page works without this file.

/** A button beside each text that is there to be copied. */
function addCopyButtons() {
  if (!navigator.clipboard) return;
  for (const block of document.querySelectorAll('.copy')) {
    const source = block.querySelector('pre');
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Copy';
    const say = (text) => {
      button.textContent = text;
      setTimeout(() => (button.textContent = 'Copy'), 2000);
    };
    button.addEventListener('click', () => {
      navigator.clipboard.writeText(source?.textContent ?? '').then(
        () => say('Copied'),
        () => say('Select it by hand'),
      );
    });
    block.classList.add('copy-ready');
    block.append(button);
  }
}

/** The reader's own clock and zone, on hover: what is written stays UTC, as in the log. */
function addLocalTimes() {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });
  for (const time of document.querySelectorAll('time[datetime]'))
    time.setAttribute('title', format.format(new Date(time.dateTime)));
}

/** Counts the time left down, once a second, as long as there is some. */
function countDown(place) {
  const until = Date.parse(place.dataset.until ?? '');
  const ahead = Date.parse(place.dataset.now ?? '') - Date.now();
  const show = () => {
    const left = Math.max(0, Math.floor((until - Date.now() - ahead) / 1000));
    const hours = Math.floor(left / 3600);
    const minutes = String(Math.floor((left % 3600) / 60)).padStart(2, '0');
    const seconds = String(left % 60).padStart(2, '0');
    place.textContent = hours > 0 ? `${hours}:${minutes}:${seconds}` : `${minutes}:${seconds}`;
    if (left > 0) setTimeout(show, 1000);
  };
  if (!Number.isNaN(until) && !Number.isNaN(ahead)) show();
}

/** Says when a request that is on the screen was decided by somebody else. */
async function watchRequest(place) {
  const { watch } = place.dataset;
  for (let tries = 0; tries < 60; tries += 1) {
    const answer = await fetch(`/v1/requests/${watch}`, { headers: { prefer: 'wait=50' } });
    if (!answer.ok) return;
    const { state } = await answer.json();
    if (state !== 'pending') {
      place.hidden = false;
      return;
    }
  }
}

addCopyButtons();
addLocalTimes();
for (const place of document.querySelectorAll('[data-until]')) countDown(place);
for (const place of document.querySelectorAll('[data-watch]'))
  watchRequest(place).catch(() => undefined);
