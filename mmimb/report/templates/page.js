'use strict';
// Cells of the class "cards" are told their column, for narrow screens, which show a row as a card.
for (const table of document.querySelectorAll('table.cards')) {
  const heads = [...table.querySelectorAll('thead th')].map(head => head.textContent);
  for (const row of table.rows) [...row.cells].forEach((cell, column) => { cell.dataset.label = heads[column]; });
}
// Tables of the class "sortable": a click on a head sorts by that column, another one turns the order round.
for (const table of document.querySelectorAll('table.sortable')) {
  table.querySelectorAll('thead th').forEach((head, column) => {
    head.tabIndex = 0;
    head.title = 'sort';
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const sort = () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      for (const other of table.querySelectorAll('thead th')) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const [p, q] = [parseFloat(x), parseFloat(y)];
        if (!head.classList.contains('n')) return x.localeCompare(y);
        if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q);
        return p - q;
      });
      if (down) rows.reverse();
      table.tBodies[0].append(...rows);
    };
    head.addEventListener('click', sort);
    head.addEventListener('keydown', event => { if (event.key === 'Enter') sort(); });
  });
}
// Blocks to copy get a button, where the browser lets a page write to the clipboard.
if (navigator.clipboard) {
  for (const block of document.querySelectorAll('pre')) {
    const text = block.textContent, button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'copy';
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = 'copied';
    });
    block.prepend(button);
  }
}
// A link to something inside of a closed part opens it.
const unfold = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === 'DETAILS') part.open = true;
  if (target) target.scrollIntoView();
};
addEventListener('hashchange', unfold);
unfold();
