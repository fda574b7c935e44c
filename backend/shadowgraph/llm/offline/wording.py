"""The fixed phrases of answers and READMEs, in four languages. What a template knows of its program stays English."""

from dataclasses import dataclass

from shadowgraph.llm.offline.style import Language


@dataclass(frozen=True, slots=True)
class Phrases:
    label: str
    """Ends every text answer: who is speaking."""
    synthetic: str
    request: str
    run: str
    tests: str
    files: str
    limits: str
    plan: str
    design: str
    sources: str
    findings: str
    readme_purpose: str
    no_tests_run: str
    no_tests_written: str
    built: str
    unfinished: str
    cannot_answer: str
    hello: str
    no_web: str
    found: str
    test_outcome: str
    pin_down: str
    pin_down_why: str
    pin_down_done: str
    write: str
    write_done: str
    run_tests: str
    run_tests_why: str
    run_tests_done: str
    explain: str
    explain_why: str
    explain_done: str
    look_up: str
    look_up_why: str
    look_up_done: str
    answer: str
    answer_why: str
    answer_done: str


EN = Phrases(
    label="[offline demo model: rule-based, not an LLM]",
    synthetic="Written by the offline demo model from a template: it follows rules and is not an LLM.",
    request="Request",
    run="How to run it",
    tests="Tests",
    files="Files",
    limits="Limits",
    plan="Plan",
    design="Design",
    sources="Sources",
    findings="Findings",
    readme_purpose="what it is and how to run it",
    no_tests_run="No test can be run with Python alone.",
    no_tests_written="No tests were written, as asked.",
    built="Built: {title}.",
    unfinished="Not done, only begun: I have no template for this request.",
    cannot_answer="I cannot answer this: I follow rules and know no facts.",
    hello="Hello. Ask me for a snake game, a REST API, a function with tests, a to-do list, a CSV report or a React component.",
    no_web="The web could not be searched: {reason}. No outside source stands behind this answer.",
    found="Found: {text}",
    test_outcome="Test outcome: {text}",
    pin_down="Pin down what is asked",
    pin_down_why="Restate the request and list what the result must do: {summary}",
    pin_down_done="Each requirement of the request is on the list",
    write="Write {path}",
    write_done="{path} exists and does only this",
    run_tests="Run the tests",
    run_tests_why="Run `{command}` in the folder of the files and mend what fails.",
    run_tests_done="All tests pass",
    explain="Explain how to use it",
    explain_why="Say how to run it, and what it does not do.",
    explain_done="Somebody who reads only the explanation can run it",
    look_up="Look for sources",
    look_up_why="Search for: {query}",
    look_up_done="There are sources, or it is said that there are none",
    answer="Answer the question",
    answer_why="Answer from the sources only, and name them.",
    answer_done="Every statement has a source",
)

DE = Phrases(
    label="[Offline-Demomodell: regelbasiert, kein LLM]",
    synthetic="Vom Offline-Demomodell aus einer Vorlage geschrieben: Es folgt Regeln und ist kein LLM.",
    request="Auftrag",
    run="So wird es gestartet",
    tests="Tests",
    files="Dateien",
    limits="Grenzen",
    plan="Plan",
    design="Entwurf",
    sources="Quellen",
    findings="Erkenntnisse",
    readme_purpose="was es ist und wie man es startet",
    no_tests_run="Mit Python allein lässt sich kein Test ausführen.",
    no_tests_written="Wie gewünscht wurden keine Tests geschrieben.",
    built="Fertig: {title}.",
    unfinished="Nur begonnen: Für diesen Auftrag habe ich keine Vorlage.",
    cannot_answer="Das kann ich nicht beantworten: Ich folge Regeln und kenne keine Fakten.",
    hello="Hallo. Ich kann ein Snake-Spiel, eine REST-API, eine Funktion mit Tests, eine Aufgabenliste, einen CSV-Bericht oder eine React-Komponente schreiben.",
    no_web="Das Web ließ sich nicht durchsuchen: {reason}. Hinter dieser Antwort steht keine äußere Quelle.",
    found="Gefunden: {text}",
    test_outcome="Testergebnis: {text}",
    pin_down="Auftrag klären",
    pin_down_why="Den Auftrag in eigenen Worten fassen und auflisten, was das Ergebnis leisten muss: {summary}",
    pin_down_done="Jede Anforderung des Auftrags steht auf der Liste",
    write="{path} schreiben",
    write_done="{path} ist da und tut nur dies",
    run_tests="Tests ausführen",
    run_tests_why="`{command}` im Ordner der Dateien ausführen und beheben, was fehlschlägt.",
    run_tests_done="Alle Tests bestehen",
    explain="Benutzung erklären",
    explain_why="Sagen, wie man es startet und was es nicht kann.",
    explain_done="Wer nur die Erklärung liest, kann es starten",
    look_up="Quellen suchen",
    look_up_why="Suchen nach: {query}",
    look_up_done="Es gibt Quellen, oder es ist gesagt, dass es keine gibt",
    answer="Frage beantworten",
    answer_why="Nur aus den Quellen antworten und sie nennen.",
    answer_done="Jede Aussage hat eine Quelle",
)

FR = Phrases(
    label="[modèle de démonstration hors ligne : des règles, pas un LLM]",
    synthetic="Écrit par le modèle de démonstration hors ligne d'après un gabarit : il suit des règles et n'est pas un LLM.",
    request="Demande",
    run="Comment le lancer",
    tests="Tests",
    files="Fichiers",
    limits="Limites",
    plan="Plan",
    design="Conception",
    sources="Sources",
    findings="Constats",
    readme_purpose="ce que c'est et comment le lancer",
    no_tests_run="Aucun test ne peut être lancé avec Python seul.",
    no_tests_written="Comme demandé, aucun test n'a été écrit.",
    built="Terminé : {title}.",
    unfinished="Seulement commencé : je n'ai pas de gabarit pour cette demande.",
    cannot_answer="Je ne peux pas répondre : je suis des règles et ne connais pas de faits.",
    hello="Bonjour. Demandez un jeu snake, une API REST, une fonction avec tests, une liste de tâches, un rapport CSV ou un composant React.",
    no_web="La recherche sur le web a échoué : {reason}. Aucune source extérieure n'appuie cette réponse.",
    found="Trouvé : {text}",
    test_outcome="Résultat des tests : {text}",
    pin_down="Préciser la demande",
    pin_down_why="Reformuler la demande et lister ce que le résultat doit faire : {summary}",
    pin_down_done="Chaque exigence de la demande est sur la liste",
    write="Écrire {path}",
    write_done="{path} existe et ne fait que cela",
    run_tests="Lancer les tests",
    run_tests_why="Lancer `{command}` dans le dossier des fichiers et corriger ce qui échoue.",
    run_tests_done="Tous les tests passent",
    explain="Expliquer l'utilisation",
    explain_why="Dire comment le lancer et ce qu'il ne fait pas.",
    explain_done="Qui ne lit que l'explication peut le lancer",
    look_up="Chercher des sources",
    look_up_why="Chercher : {query}",
    look_up_done="Il y a des sources, ou il est dit qu'il n'y en a pas",
    answer="Répondre à la question",
    answer_why="Répondre d'après les sources seulement, et les nommer.",
    answer_done="Chaque affirmation a une source",
)

ES = Phrases(
    label="[modelo de demostración sin conexión: reglas, no un LLM]",
    synthetic="Escrito por el modelo de demostración sin conexión a partir de una plantilla: sigue reglas y no es un LLM.",
    request="Petición",
    run="Cómo ejecutarlo",
    tests="Pruebas",
    files="Archivos",
    limits="Límites",
    plan="Plan",
    design="Diseño",
    sources="Fuentes",
    findings="Hallazgos",
    readme_purpose="qué es y cómo ejecutarlo",
    no_tests_run="Solo con Python no se puede ejecutar ninguna prueba.",
    no_tests_written="Como se pidió, no se escribieron pruebas.",
    built="Hecho: {title}.",
    unfinished="Solo empezado: no tengo plantilla para esta petición.",
    cannot_answer="No puedo responder: sigo reglas y no conozco hechos.",
    hello="Hola. Pídeme un juego snake, una API REST, una función con pruebas, una lista de tareas, un informe CSV o un componente React.",
    no_web="No se pudo buscar en la web: {reason}. Ninguna fuente externa respalda esta respuesta.",
    found="Encontrado: {text}",
    test_outcome="Resultado de las pruebas: {text}",
    pin_down="Precisar la petición",
    pin_down_why="Reformular la petición y anotar lo que debe hacer el resultado: {summary}",
    pin_down_done="Cada requisito de la petición está en la lista",
    write="Escribir {path}",
    write_done="{path} existe y solo hace esto",
    run_tests="Ejecutar las pruebas",
    run_tests_why="Ejecutar `{command}` en la carpeta de los archivos y corregir lo que falle.",
    run_tests_done="Pasan todas las pruebas",
    explain="Explicar el uso",
    explain_why="Decir cómo ejecutarlo y qué no hace.",
    explain_done="Quien lea solo la explicación puede ejecutarlo",
    look_up="Buscar fuentes",
    look_up_why="Buscar: {query}",
    look_up_done="Hay fuentes, o se dice que no las hay",
    answer="Responder la pregunta",
    answer_why="Responder solo a partir de las fuentes y nombrarlas.",
    answer_done="Cada afirmación tiene una fuente",
)

LABEL = EN.label
_BY_LANGUAGE: dict[Language, Phrases] = {"en": EN, "de": DE, "fr": FR, "es": ES}


def phrases_in(language: Language) -> Phrases:
    return _BY_LANGUAGE[language]
