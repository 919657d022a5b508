// Shows what is known of a thing beside the picture. Without it the links lead to the lists below.
(() => {
  const svg = document.querySelector('.picture svg'), panel = document.getElementById('panel');
  const body = panel.querySelector('div');
  document.documentElement.classList.add('js');
  const ties = [...svg.querySelectorAll('.tie')].map(tie => [tie, tie.dataset.from, tie.dataset.to]);
  const mark = id => {
    svg.querySelectorAll('.on').forEach(one => one.classList.remove('on'));
    svg.classList.toggle('chosen', id !== null);
    if (id === null) return;
    const walk = (start, near, far) => {
      const seen = new Set([start]), next = [start];
      while (next.length) {
        const at = next.pop();
        for (const tie of ties) if (tie[near] === at) {
          tie[0].classList.add('on');
          if (!seen.has(tie[far])) { seen.add(tie[far]); next.push(tie[far]); }
        }
      }
      for (const one of seen) svg.getElementById('t' + one)?.classList.add('on');
    };
    walk(id, 1, 2);
    walk(id, 2, 1);
  };
  const close = () => { panel.classList.remove('open'); mark(null); };
  const open = id => {
    const about = document.getElementById('n' + id);
    if (!about) return;
    body.replaceChildren(about.cloneNode(true));
    body.firstChild.removeAttribute('id');
    panel.classList.add('open');
    panel.scrollTop = 0;
    mark(id);
  };
  document.addEventListener('click', event => {
    const link = event.target.closest('a[href^="#n"]');
    if (link) { event.preventDefault(); open(link.getAttribute('href').slice(2)); return; }
    if (event.target.closest('#close') || !event.target.closest('#panel')) close();
  });
  document.addEventListener('keydown', event => { if (event.key === 'Escape') close(); });
  if (/^#n\d+$/.test(location.hash)) open(location.hash.slice(2));
})();
